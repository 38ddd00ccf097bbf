"""What licences say of commercial use, in the spellings that sources give."""

from __future__ import annotations

import pytest

from dallm.knowledge.licences import commercial_use, forbids_commercial_use, short_name

FORBIDDEN = [
    "CC BY-NC-SA 3.0",
    "CC-BY-NC-SA-3.0",
    "cc by-nc",
    "CC BY NC ND 4.0",
    "CC-NC-BY-SA 3.0",
    "BY-NC-SA",
    "CCBYNCSA 3.0",
    "CC BYNC 4.0",
    "CC BY–NC–SA 3.0",
    "Creative Commons Attribution-NonCommercial 4.0 International",
    "Creative Commons Attribution-Non-commercial-Share Alike 3.0 Unported License",
    "creative_commons_attribution_noncommercial",
    "https://creativecommons.org/licenses/by-nc-sa/3.0/",
    "http://creativecommons.org/licenses/by-nc/4.0/legalcode",
    "CC BY-NC-SA 3.0, modified by the terms of use of the site",
    "Namensnennung - Nicht kommerziell 4.0",
    "PolyForm Noncommercial License 1.0.0",
    "for research use only",
    "Personal use only.",
    "not for commercial use",
    "Commercial use is not permitted",
    "© 2024 A. Hospital. All rights reserved.",
    "text CC BY-SA 4.0, figures CC BY-NC 4.0",
]
ALLOWED = [
    "CC BY-SA 4.0",
    "CC BY 4.0",
    "CC-BY-ND-4.0",
    "CC0",
    "CC0 1.0 Universal",
    "https://creativecommons.org/publicdomain/zero/1.0/",
    "https://creativecommons.org/licenses/by-sa/4.0/deed.de",
    "Creative Commons Attribution-ShareAlike 4.0",
    "public domain",
    "Apache-2.0",
    "MIT",
    "GFDL",
    "Open Government Licence v3.0",
]
UNKNOWN = [
    None,
    "",
    "  ",
    "by arrangement with the publisher",
    "see the page",
    "nc",
    "nur mit Genehmigung des Verlags",
    "abstract; copyright of its authors or publisher",
    "University of Byncsaland",
]


@pytest.mark.parametrize("licence", FORBIDDEN)
def test__commercial_use__licence_that_forbids_it__is_forbidden(licence):
    assert commercial_use(licence) == "forbidden"
    assert forbids_commercial_use(licence)


@pytest.mark.parametrize("licence", ALLOWED)
def test__commercial_use__free_licence__is_allowed(licence):
    assert commercial_use(licence) == "allowed"


@pytest.mark.parametrize("licence", UNKNOWN)
def test__commercial_use__unrecognised_licence__is_unknown_and_not_forbidden(licence):
    assert commercial_use(licence) == "unknown"
    assert not forbids_commercial_use(licence)


@pytest.mark.parametrize(
    ("licence", "name"),
    [
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/", "CC BY-NC-SA 3.0"),
        ("Creative Commons Attribution-NonCommercial-ShareAlike 3.0", "CC BY-NC-SA 3.0"),
        ("CC-NC-BY-SA 3.0", "CC BY-NC-SA 3.0"),
        ("cc-by-nd 4.0", "CC BY-ND 4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("our own terms", "our own terms"),
    ],
)
def test__short_name__any_spelling__is_the_usual_one(licence, name):
    assert short_name(licence) == name
