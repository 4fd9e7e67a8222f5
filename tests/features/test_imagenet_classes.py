from ganlab.features.imagenet_classes import CLASS_NAMES
from ganlab.features.vgg16 import VGG16, VGG16Weights
from ganlab.studies.classes import class_index

KNOWN = {  # by the list that comes with Keras
    0: "tench",
    1: "goldfish",
    151: "Chihuahua",
    207: "golden retriever",
    285: "Egyptian cat",
    340: "zebra",
    474: "cardigan",
    607: "jack-o'-lantern",
    722: "ping-pong ball",
    817: "sports car",
    949: "strawberry",
    954: "banana",
    999: "toilet tissue",
}


def test_classes_have_the_numbers_of_the_published_list_and_names_of_their_own():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 1000
    assert {number: CLASS_NAMES[number] for number in KNOWN} == KNOWN
    assert [class_index(name, CLASS_NAMES) for name in CLASS_NAMES] == list(range(1000))
    cranes = {k for k, name in enumerate(CLASS_NAMES) if name.startswith("crane")}
    assert cranes == {134, 517}


def test_vgg16_is_of_imagenet_where_it_tells_a_thousand_classes_apart():
    assert VGG16().class_names == CLASS_NAMES
    assert VGG16(VGG16Weights(layout="caffe")).class_names == ()
