"""Names of dimensions, variables and units in every stored dataset and table. Written nowhere else."""

FORECAST_DIMS = ("scenario", "draw", "gestational_day")

#: variable -> (unit, long name); those with time, in forecast.nc
FORECAST_SERIES: dict[str, tuple[str, str]] = {
    "fetal_weight_g": ("g", "latent fetal weight (lean + fat), not an ultrasound estimate"),
    "fetal_lean_g": ("g", "fetal lean mass"),
    "fetal_fat_g": ("g", "fetal fat mass"),
    "hc_mm": ("mm", "head circumference, latent"),
    "ac_mm": ("mm", "abdominal circumference, latent"),
    "fl_mm": ("mm", "femur length, latent"),
    "bpd_mm": ("mm", "biparietal diameter, outer to outer, latent"),
    "mean_glucose_mg_dl": ("mg/dL", "mean maternal plasma glucose of the week's reference day"),
    "time_in_range": ("1", "fraction of the reference day with plasma glucose 63 to 140 mg/dL"),
    "insulin_sensitivity": ("1/min per uU/mL", "maternal insulin sensitivity S_I"),
    "beta_cell_function": ("1", "beta-cell function relative to normal tolerance at 28 weeks"),
}
#: variable -> (unit, long name); one value per scenario and draw
FORECAST_SCALARS: dict[str, tuple[str, str]] = {
    "birth_weight_g": ("g", "birth weight"),
    "delivery_day": ("d", "gestational day of birth"),
}

RISK_SCHEMA = "gdm-twin/risk/1"
POSTERIOR_SCHEMA = "gdm-twin/posterior/1"
OUTCOMES = ("macrosomia_4000", "macrosomia_4500", "lga_90", "sga_10", "ac_90_at_36w")

GLUCOSE_KINDS = ("smbg", "cgm", "ogtt", "lab")
#: relation of a reading to a meal, as recorded or coded; "" means not recorded
GLUCOSE_RELATIONS = ("", "fasting", "pre_meal", "post_meal_1h", "post_meal_2h", "bedtime", "random")
INSULIN_FORMULATIONS = ("rapid", "regular", "nph", "detemir", "glargine")
BIOMETRY_QUANTITIES = ("bpd_mm", "hc_mm", "ac_mm", "fl_mm", "efw_g")
