"use strict";
(() => {
  const enlarged = document.getElementById("enlarged");
  const inPage = (selector, root = document) => [...root.querySelectorAll(selector)];
  let open = null;

  function show(button) {
    const source = button.querySelector("img");
    const image = enlarged.querySelector("img");
    const fit = Math.min(0.9 * innerWidth / source.naturalWidth, 0.8 * innerHeight / source.naturalHeight);
    open = button;
    image.src = source.src;
    image.alt = source.alt;
    image.className = source.className;
    image.style.width = Math.floor(source.naturalWidth * Math.min(fit, source.classList.contains("pixels") ? 4 : 1.5)) + "px";
    enlarged.querySelector("p").textContent = button.dataset.caption;
    if (!enlarged.open) enlarged.showModal();
  }

  function step(by) {
    const group = inPage(".picture .zoom").filter((b) => b.dataset.group === open.dataset.group);
    const next = group[group.findIndex((b) => b.querySelector("img").src === open.querySelector("img").src) + by];
    if (next) show(next);
  }

  function slider(timeline) {
    const pictures = inPage(".picture", timeline);
    const stage = document.createElement("div");
    stage.className = "stage";
    stage.innerHTML = '<button type="button" class="zoom"><img></button>' +
      '<label>Moment <input type="range" min="0" step="1"><output></output></label>';
    const [button, range, output] = ["button", "input", "output"].map((s) => stage.querySelector(s));
    range.max = pictures.length - 1;

    function go(index) {
      const source = pictures[index].querySelector(".zoom");
      const from = source.querySelector("img");
      const to = button.querySelector("img");
      [to.src, to.alt, to.className] = [from.src, from.alt, from.className];
      Object.assign(button.dataset, source.dataset);
      button.setAttribute("aria-label", source.getAttribute("aria-label"));
      output.textContent = source.dataset.moment;
      range.value = index;
      range.setAttribute("aria-valuetext", source.dataset.moment);
      pictures.forEach((picture, i) => picture.classList.toggle("current", i === index));
      const strip = pictures[index].parentElement;
      strip.scrollLeft = pictures[index].offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + 60;
    }

    timeline.prepend(stage);
    range.addEventListener("input", () => go(Number(range.value)));
    button.addEventListener("click", () => show(button));
    pictures.forEach((picture, i) => picture.querySelector(".zoom").addEventListener("click", () => go(i)));
    go(pictures.length - 1);
  }

  inPage(".figures .zoom").forEach((button) => button.addEventListener("click", () => show(button)));
  inPage(".timeline").forEach(slider);
  enlarged.addEventListener("click", (event) => { if (event.target === enlarged) enlarged.close(); });
  enlarged.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });

  const links = new Map(inPage("nav a").map((a) => [a.hash.slice(1), a]));
  const headings = inPage("main h2, main h3").map((h) => links.has(h.id) ? h : h.parentElement);
  function mark() {
    const passed = headings.filter((h) => h.getBoundingClientRect().top < 120);
    links.forEach((a) => a.removeAttribute("aria-current"));
    const link = passed.length && links.get(passed[passed.length - 1].id);
    if (link) link.setAttribute("aria-current", "true");
  }
  addEventListener("scroll", mark, { passive: true });
  mark();
})();
