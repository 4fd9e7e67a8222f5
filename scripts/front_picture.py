"""The picture of the first page, cut from those that `make faces` and docs/checkpoints.md show.

python scripts/front_picture.py        # docs/images/front.jpg
"""

from pathlib import Path

from PIL import Image, ImageDraw

from ganlab.report.images import lettering

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CELL, LARGE, GAP, TITLE = 132, 146, 6, 30  # px; samples are the large ones
SAMPLES = [(column, row) for row in range(3) for column in range(4)]  # of the grid of 8 x 8
ROWS = {0: "as painted", 2: "without its rare neurons", 5: "without random ones"}  # of six
COLUMNS = range(7)  # of twelve
TOPS = (24, 202, 380, 558, 738, 916)  # px, of the six rows
LEFT, STEP, SIDE = 143, 171.4, 158  # px, of the twelve columns


def samples() -> Image.Image:
    """Twelve of the first 64 samples."""
    sheet = Image.open(IMAGES / "checkpoints_faces.jpg")
    cells = [cut(sheet, 2 + 66 * x, 2 + 66 * y, 64, LARGE) for x, y in SAMPLES]
    rows = [cells[i : i + 4] for i in range(0, len(cells), 4)]
    tops = [TITLE + y * (LARGE + GAP) for y in range(len(rows))]
    return placed(rows, tops)


def ablations() -> Image.Image:
    """Seven of the twelve images with the most rare neurons, before and after."""
    sheet = Image.open(IMAGES / "faces_ablation.jpg")
    lefts = [round(LEFT + STEP * x) for x in COLUMNS]
    rows = [[cut(sheet, left, TOPS[y], SIDE, CELL) for left in lefts] for y in ROWS]
    return placed(rows, [TITLE + y * (CELL + TITLE) for y in range(len(rows))])


def cut(sheet: Image.Image, left: int, top: int, side: int, size: int) -> Image.Image:
    """A square of a sheet, in another size."""
    square = sheet.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def placed(rows: list[list[Image.Image]], tops: list[int]) -> Image.Image:
    """Pictures row by row."""
    side = rows[0][0].width
    page = Image.new("RGB", (len(rows[0]) * (side + GAP) - GAP, tops[-1] + side), "white")
    for row, top in zip(rows, tops, strict=True):
        for x, picture in enumerate(row):
            page.paste(picture, (x * (side + GAP), top))
    return page


def main() -> None:
    """Both beside each other, named."""
    left, right = samples(), ablations()
    page = Image.new("RGB", (left.width + 40 + right.width, right.height), "white")
    page.paste(left, (0, 0))
    page.paste(right, (left.width + 40, 0))
    draw, font = ImageDraw.Draw(page), lettering(19)
    draw.text((0, 4), "samples of a generator from elsewhere", fill=(20, 20, 20), font=font)
    for y, title in enumerate(ROWS.values()):
        where = (left.width + 40, y * (CELL + TITLE) + 4)
        draw.text(where, title, fill=(20, 20, 20), font=font)
    page.save(IMAGES / "front.jpg", quality=88)


if __name__ == "__main__":
    main()
