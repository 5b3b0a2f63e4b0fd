"""Site settings: unknown names, wrong types and implausible values are refused with a message, exit code 2."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from twin import cli
from twin.errors import UnusableInput
from twin.record.plausibility import limits
from twin.settings import _GLUCOSE, _RANGES, SiteSettings

RECORD = Path(__file__).resolve().parents[1] / "data" / "fhir" / "faulty_bundle.json"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('overt_hba1c_percent = "6.5"', "bad-setting", "not a number"),
        ("overt_hba1c_percent = true", "bad-setting", "not a number"),
        ("overt_hba1c_percent = 48", "bad-setting", "3 to 20"),  # mmol/mol
        ("fasting_target_mg_dl = -5", "bad-setting", "20 to 700"),
        ("fasting_target_mg_dl = 5.3", "bad-setting", "20 to 700"),  # mmol/L
        ("fasting_target_mg_dl = nan", "bad-setting", "20 to 700"),
        ("fasting_target_mg_dl = inf", "bad-setting", "20 to 700"),
        ("alert_window_hours = 0", "bad-setting", "1 to 8760"),
        ("range_low_mg_dl = 150", "bad-setting", "range_low_mg_dl is not below range_high_mg_dl"),
        ("alert_low_mg_dl = 200", "bad-setting", "alert_low_mg_dl is not below alert_high_mg_dl"),
        ('time_zone = "Mars/Base"', "unknown-time-zone", "Mars/Base"),
        ('time_zone = "Europe"', "bad-setting", "time zone"),
        ("time_zone = 1", "bad-setting", "not a text"),
        ("growth_standard = 7", "bad-setting", "not a text"),
        ("colour = 'red'", "unknown-setting", "colour"),
    ],
)
def test_a_bad_setting_is_refused_with_its_name(tmp_path, line, code, said):
    path = tmp_path / "site.toml"
    path.write_text(line + "\n")
    with pytest.raises(UnusableInput) as why:
        SiteSettings.from_toml(path)
    assert why.value.code == code and said in str(why.value) and line.split()[0] in str(why.value)
    app = cli.build_app([])
    cli.register(app)
    result = CliRunner().invoke(app, ["check", str(RECORD), "--settings", str(path)])
    assert result.exit_code == 2 and said in result.stderr


def test_good_settings_are_taken(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text("fasting_target_mg_dl = 92\ntime_zone = 'Europe/Berlin'\nalert_window_hours = 48.5\n")
    site = SiteSettings.from_toml(path)
    assert (site.fasting_target_mg_dl, site.time_zone, site.alert_window_hours) == (92, "Europe/Berlin", 48.5)


def test_ranges_are_those_of_a_record():
    assert limits("glucose")["value_mg_dl"] == _GLUCOSE
    assert limits("facts")["hba1c_percent"] == _RANGES["overt_hba1c_percent"]
