"""Words for numbers and names: natural frequencies, weeks, outcomes; the same in HTML and terminal."""

from __future__ import annotations

import re

from twin.units import glucose_mmol_per_l

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

#: outcome -> (short words for a plot, words for a sentence "… of 100 women like her have a baby …")
OUTCOME_WORDS = {
    "macrosomia_4000": ("over 4000 g", "birth weight over 4000\u00a0g"),
    "macrosomia_4500": ("over 4500 g", "birth weight over 4500\u00a0g"),
    "lga_90": ("LGA", "large for gestational age (LGA, above the 90th centile)"),
    "sga_10": ("SGA", "small for gestational age (SGA, below the 10th centile)"),
    "ac_90_at_36w": ("AC > 90th at 36 w", "abdominal circumference above the 90th centile at 36+0"),
}
#: outcome -> the names in `scope.withheld` that withhold it
WITHHELD_BY = {
    "macrosomia_4000": ("macrosomia_4000",),
    "macrosomia_4500": ("macrosomia_4500",),
    "lga_90": ("lga", "lga_90"),
    "sga_10": ("sga", "sga_10"),
    "ac_90_at_36w": ("ac_90_at_36w", "centiles"),
}
WITHHELD_WORDS = {
    "lga": "large for gestational age",
    "sga": "small for gestational age",
    "centiles": "growth centiles",
    "glucose_forecast": "glucose forecast",
    "lower_glucose_optimisation": "any comparison that aims at lower glucose",
}
STANDARD_WORDS = {
    "hadlock1991": "Hadlock 1991",
    "intergrowth21_newborn": "INTERGROWTH-21st newborn",
    "intergrowth21_efw": "INTERGROWTH-21st fetal weight",
    "intergrowth21_hadlock_efw": "INTERGROWTH-21st fetal weight by Hadlock",
    "who": "WHO fetal growth",
    "nichd": "NICHD fetal growth",
    "fmf2018": "Fetal Medicine Foundation 2018",
}
KIND_WORDS = {"smbg": "meter", "cgm": "sensor", "ogtt": "glucose tolerance test", "lab": "laboratory"}
#: what a conflict is of (`twin.inference.diagnostics`), and in what
CONFLICT_WORDS = {
    "parameters": "her parameters together",
    "spot_glucose": "finger-prick and laboratory glucose",
    "cgm": "sensor glucose",
    "ogtt": "the tolerance test",
    "biometry": "the ultrasound measures",
}
CONFLICT_KIND_WORDS = {
    "parameters": "rarer than in 1 of 100 women of the prior",
    "level": "too high or too low for what the rest says",
    "spread": "scattered more than their error allows",
}
#: latents of the prior a reader may know
LATENT_WORDS = {
    "S_I": "insulin sensitivity",
    "B": "insulin secretion",
    "k_e": "stomach emptying",
    "carbohydrate": "carbohydrate eaten",
    "theta": "size of the fetus",
    "fatness": "fat of the fetus",
    "head": "size of the head",
    "sensor_gain": "gain of the sensor",
    "sensor_offset": "offset of the sensor",
    "cgm_cv": "noise of the sensor",
    "sensor_memory": "smoothness of the sensor's noise",
    "shape_ac_mm": "shape of the abdomen",
    "shape_fl_mm": "shape of the femur",
    "shape_bpd_mm": "shape of the head",
}
SCENARIO_WORDS = {
    "as_now": "As now",
    "doses_fixed": "Doses fixed",
    "untreated": "Untreated",
}


def clean(value: object) -> str:
    """Text safe to show: control, bidirectional and zero-width characters become a visible mark."""
    return _CONTROL.sub("\ufffd", str(value))


def of_100(probability: float) -> str:
    """A probability as a count in 100: "23", "fewer than 1", "more than 99"."""
    if probability < 0.005:
        return "fewer than 1"
    if probability > 0.995:
        return "more than 99"
    return f"{100.0 * probability:.0f}"


def of_100_range(low: float, high: float) -> str:
    """The model range as counts in 100: "17 to 30"; "fewer than 1 to 4"; one count when both ends agree."""
    a, b = of_100(low), of_100(high)
    return f"about {a}" if a == b and a[0].isdigit() else a if a == b else f"{a} to {b}"


def short_100(probability: float) -> str:
    """The same in three characters, for tight tables: "23", "<1", ">99"."""
    return of_100(probability).replace("fewer than ", "<").replace("more than ", ">")


def short_100_range(low: float, high: float) -> str:
    a, b = short_100(low), short_100(high)
    return a if a == b else f"{a}\u2013{b}"


def signed_per_100(effect: float) -> str:
    """A change of probability as "+8" or "\u22123" in 100; "under 1" when it rounds away."""
    points = round(100.0 * effect)
    return f"+{points}" if points > 0 else f"\u2212{-points}" if points < 0 else "under 1"


def grams(weight_g: float) -> str:
    """Grams to the nearest 10: finer digits would claim more than is known."""
    return f"{round(weight_g / 10.0) * 10:.0f} g"


def glucose(mg_dl: float, censor: str = "") -> str:
    """ "52 mg/dL (2.9 mmol/L)", with < or > when the device gave only a limit."""
    sign = {"low": "< ", "high": "> "}.get(censor, "")
    return f"{sign}{mg_dl:.0f} mg/dL ({sign}{glucose_mmol_per_l(mg_dl):.1f} mmol/L)"


def age(days: float | None) -> str:
    """Age of a piece of data in words; "none" when there is none."""
    if days is None:
        return "none"
    if days < 1.0 / 24.0:
        return "under 1 hour"
    if days < 2.0:
        return f"{days * 24.0:.0f} hours"
    return f"{days:.0f} days"


def outcome_words(name: str) -> str:
    return OUTCOME_WORDS.get(name, ("", clean(name).replace("_", " ")))[1]


def outcome_short(name: str) -> str:
    return OUTCOME_WORDS.get(name, (clean(name).replace("_", " "), ""))[0]


def standard_words(name: str | None) -> str:
    return "not declared" if not name else STANDARD_WORDS.get(name, clean(name).replace("_", " "))


def scenario_words(name: str) -> str:
    words = clean(name).replace("_", " ")
    return SCENARIO_WORDS.get(name, words[:1].upper() + words[1:])


def withheld_words(name: str) -> str:
    """What the scope withholds, in words; `glucose_readings:REASON:FIRST/LAST` names a window."""
    if name.startswith("glucose_readings:"):
        _, reason, window = name.split(":", 2)
        span = clean(window).replace("/", " to ")
        return f"the readings of {span} in counts and fit ({clean(reason).replace('-', ' ')})"
    return WITHHELD_WORDS.get(name, OUTCOME_WORDS.get(name, ("", clean(name).replace("_", " ")))[1])
