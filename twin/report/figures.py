"""The report's figures: glucose through the day, growth, outcomes by birth day, outcomes as issued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.dates import AutoDateLocator, DateFormatter
from matplotlib.figure import Figure

from twin import growth_standards
from twin.record.alerts import smbg_slots
from twin.record.tables import PatientRecord
from twin.report.svg import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RANGE_FILL,
    SKY,
    VERMILLION,
    Picture,
    label_ends,
    legend,
    margins,
    picture,
)
from twin.report.wording import outcome_short, standard_words
from twin.schema import OUTCOMES
from twin.settings import SiteSettings
from twin.timeline import weeks_and_days

CENTILES = (3.0, 10.0, 50.0, 90.0, 97.0)
_FAN = (0.05, 0.25, 0.5, 0.75, 0.95)
_PROFILE_DAYS = 14
_EFW_ERROR = (
    0.075  # random error of ultrasound EFW, SD as a share [C-EFW-02, RECALLED 7.4 %; E forecast floor]
)
_Z90 = 1.645  # half width of a 90 % interval in SD
_LINES: dict[str, dict[str, Any]] = {
    "macrosomia_4000": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "macrosomia_4500": {"color": INK, "linestyle": (0, (5, 2)), "marker": "s"},
    "lga_90": {"color": ORANGE, "linestyle": (0, (6, 1.5, 1.5, 1.5)), "marker": "^"},
    "sga_10": {"color": GREEN, "linestyle": (0, (1.5, 1.5)), "marker": "v"},
}


def glucose_day_profile(
    record: PatientRecord,
    now_local: pd.Timestamp,
    settings: SiteSettings,
    day_profile: xr.Dataset | None = None,
) -> Picture | None:
    """Readings of the last 14 days by clock time over the model's predictive band; None with nothing to show.

    day_profile : dim `minute_of_day`; `q05`, `q50`, `q95` of a reading on her latest reference day (mg/dL).
    """
    glucose = record.glucose
    recent = (glucose["time_local"] <= now_local) & (
        glucose["time_local"] > now_local - pd.Timedelta(days=_PROFILE_DAYS)
    )
    glucose = glucose[recent]
    smbg = smbg_slots(record, now_local, settings)
    smbg = smbg[smbg["time_local"] > now_local - pd.Timedelta(days=_PROFILE_DAYS)]
    cgm, lab = glucose[glucose["kind"] == "cgm"], glucose[glucose["kind"] == "lab"]
    if day_profile is None and not len(smbg) + len(cgm) + len(lab):
        return None
    above = smbg["value_mg_dl"] > smbg["target_mg_dl"]

    def paint(figure: Figure, narrow: bool) -> None:
        ax = figure.subplots()
        low, high = settings.range_low_mg_dl, settings.range_high_mg_dl
        ax.axhspan(low, high, color=RANGE_FILL, zorder=0, label=f"range {low:.0f}\u2013{high:.0f}")
        if day_profile is not None:
            hour = day_profile["minute_of_day"].to_numpy() / 60.0
            ax.fill_between(
                hour, day_profile["q05"], day_profile["q95"], color=SKY, alpha=0.45, lw=0, zorder=1,
                label="model: 90 of 100 readings",
            )  # fmt: skip
            ax.plot(hour, day_profile["q50"], color=BLUE, lw=1.8, zorder=4, label="model: median")
        if len(cgm):
            ax.plot(*_by_day(cgm), color=GREY, lw=0.5, alpha=0.4, zorder=2, label="sensor, one line a day")
        styles: tuple[tuple[pd.DataFrame, dict[str, Any]], ...] = (
            (smbg[~above], {"marker": "o", "facecolors": "white", "edgecolors": INK, "label": "meter"}),
            (smbg[above], {"marker": "^", "color": VERMILLION, "label": "meter, above target"}),
            (lab, {"marker": "s", "facecolors": "white", "edgecolors": GREY, "label": "laboratory"}),
        )
        for rows, style in styles:
            if len(rows):
                ax.scatter(_hours(rows), rows["value_mg_dl"], s=15, linewidths=0.8, zorder=5, **style)
        targets = (
            (settings.fasting_target_mg_dl, "fasting"),
            (settings.two_hour_target_mg_dl, "2 h"),
            (settings.one_hour_target_mg_dl, "1 h"),
        )
        for value, _ in targets:
            ax.axhline(value, color=GREY, lw=0.7, ls=(0, (2, 2)), zorder=3)
        label_ends(ax, [(24.0, v, f"{w} {v:.0f}", GREY) for v, w in targets], gap=13.0)
        ax.set(xlim=(0, 24), ylabel="" if narrow else "glucose, mg/dL", xlabel="time of day")
        ax.set_ylim(bottom=min(45.0, ax.get_ylim()[0]), top=max(190.0, ax.get_ylim()[1]))
        ax.set_xticks(
            range(0, 25, 6 if narrow else 3), [f"{h:02d}:00" for h in range(0, 25, 6 if narrow else 3)]
        )
        if narrow:
            ax.set_title("glucose, mg/dL", loc="left", fontsize=9)
        top = legend(figure, 2 if narrow else 5)
        margins(figure, left=28 if narrow else 44, right=56, top=top + (20 if narrow else 8))

    shown = ", ".join(
        f"{n} {what}"
        for n, what in ((len(smbg), "meter"), (len(cgm), "sensor"), (len(lab), "laboratory"))
        if n
    )
    description = (
        f"Readings of the last 14 days by time of day: {shown or 'none'}. "
        f"{int(above.sum())} meter readings above target. "
    )
    if day_profile is not None:
        span = day_profile["q50"]
        description += (
            f"The model's median goes from {float(span.min()):.0f} to {float(span.max()):.0f} mg/dL; "
            "the shaded band holds 90 of 100 readings the model expects."
        )
    return picture("glucose", "Glucose through the day", description, paint)


def _hours(rows: pd.DataFrame) -> np.ndarray:
    time = rows["time_local"].dt
    return (time.hour + time.minute / 60.0).to_numpy()


def _by_day(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Sensor values as one line with a break at midnight and at every silence over half an hour."""
    rows = rows.sort_values(["device", "time_local"])
    hour, value = _hours(rows), rows["value_mg_dl"].to_numpy(copy=True)
    gap = rows["time_local"].diff().dt.total_seconds().abs().to_numpy() > 1800.0
    breaks = np.flatnonzero(gap | np.r_[False, np.diff(hour) < 0.0])
    return np.insert(hour, breaks, np.nan), np.insert(value, breaks, np.nan)


def scan_weights(record: PatientRecord, now_local: pd.Timestamp) -> pd.DataFrame:
    """Estimated fetal weight of each scan up to now.

    Returns : one row per scan that allows it: `gestational_day`, `efw_g`, `sd_g` (the recorded SD, else
        7.5 % of the weight), `basis` ("recorded" or "from HC, AC, FL").
    """
    rows = record.biometry[record.biometry["time_local"] <= now_local]
    out = []
    for _, scan in rows.groupby("scan"):
        value = dict(zip(scan["quantity"], scan["value"].astype(float), strict=True))
        day = float(scan["gestational_day"].iloc[0])
        if "efw_g" in value:
            weight, basis = value["efw_g"], "recorded"
            sd = float(scan.loc[scan["quantity"] == "efw_g", "sd_mm"].iloc[-1])
        elif {"hc_mm", "ac_mm", "fl_mm"} <= set(value):
            mm = {q: value[q] for q in ("hc_mm", "ac_mm", "fl_mm")}
            weight, sd, basis = float(growth_standards.efw_g(**mm)), float("nan"), "from HC, AC, FL"
        else:
            continue
        if np.isfinite(weight) and np.isfinite(day):
            sd = sd if np.isfinite(sd) and sd > 0.0 else _EFW_ERROR * weight
            out.append({"gestational_day": day, "efw_g": weight, "sd_g": sd, "basis": basis})
    return pd.DataFrame(out, columns=["gestational_day", "efw_g", "sd_g", "basis"])


def growth_chart(
    record: PatientRecord,
    now_local: pd.Timestamp,
    forecast: xr.Dataset,
    *,
    scenario: str,
    growth_standard: str,
    show_centiles: bool,
    today: float | None,
) -> Picture:
    """Centiles of the growth standard, scans with their error, the forecast fan and the birth-weight draws.

    `show_centiles=False` (the scope withholds centiles) draws no centile line. `today` is the gestational
    day of the report.
    """
    one = forecast.sel(scenario=scenario)
    weight = one["fetal_weight_g"].dropna("gestational_day", how="all")
    days = weight["gestational_day"].to_numpy().astype(float)
    fan = weight.quantile(_FAN, dim="draw", skipna=True).transpose("quantile", "gestational_day").to_numpy()
    births = one["birth_weight_g"].dropna("draw").to_numpy()
    scans = scan_weights(record, now_local)
    first = (min([168.0, *scans["gestational_day"]]) - 3.0) // 7 * 7
    last = float(days.max(initial=287.0))
    name = standard_words(growth_standard)

    grid = np.arange(first, last + 1.0)
    lines = np.empty((0, grid.size))
    if show_centiles:
        centiles = np.array(CENTILES)[:, None]
        lines = np.asarray(
            growth_standards.weight_from_centile(centiles, grid[None, :], standard=growth_standard, sex=None)
        )

    def paint(figure: Figure, narrow: bool) -> None:
        ax, side = figure.subplots(1, 2, sharey=True, width_ratios=(4.2, 1) if narrow else (6, 1))
        if show_centiles:
            ends = []
            for centile, line in zip(CENTILES, lines, strict=True):
                known = np.isfinite(line)
                ax.plot(grid[known] / 7.0, line[known], color=GREY, lw=1.1 if centile == 50.0 else 0.7,
                        ls="-" if centile == 50.0 else (0, (4, 2)), zorder=2,
                        label=f"centiles, {name}" if centile == 50.0 else None)  # fmt: skip
                if known.any():
                    ends.append((grid[known][-1] / 7.0, float(line[known][-1]), f"{centile:.0f}", GREY))
            label_ends(ax, ends, gap=170.0)
        at = days / 7.0
        ax.fill_between(at, fan[0], fan[4], color=SKY, alpha=0.4, lw=0, zorder=1, label="model: 90 of 100")
        ax.fill_between(at, fan[1], fan[3], color=SKY, alpha=0.75, lw=0, zorder=1, label="model: 50 of 100")
        ax.plot(at, fan[2], color=BLUE, lw=1.8, zorder=3, label="model: median")
        if len(scans):
            ax.errorbar(scans["gestational_day"] / 7.0, scans["efw_g"], yerr=_Z90 * scans["sd_g"], fmt="o",
                        ms=4.5, mfc="white", mec=INK, ecolor=INK, elinewidth=1.0, capsize=2.5, zorder=5,
                        label="scan, with its 90 % error")  # fmt: skip
        if today is not None:
            ax.axvline(today / 7.0, color=INK, lw=0.8, ls=":", zorder=2)
            ax.annotate("today", (today / 7.0, 1.0), xycoords=("data", "axes fraction"), xytext=(-3, -2),
                        textcoords="offset points", fontsize=8.5, va="top", ha="right")  # fmt: skip
        top = max(4800.0, float(np.nanmax(fan[4])) * 1.02, float(np.quantile(births, 0.999)))
        ax.set(xlim=(first / 7.0, last / 7.0), ylim=(0.0, top), xlabel="weeks of pregnancy")
        ax.set_xticks(np.arange(np.ceil(first / 7.0 / 4) * 4, last / 7.0 + 0.01, 4))
        ax.set_title("weight, g", loc="left", fontsize=9)
        side.hist(births, bins=np.linspace(births.min(), births.max() + 1.0, 24).tolist(),
                  orientation="horizontal", color=SKY, edgecolor=BLUE, linewidth=0.4)  # fmt: skip
        for limit in (4000.0, 4500.0):
            side.axhline(limit, color=INK, lw=0.8, ls="-" if limit == 4000.0 else (0, (4, 2)))
            side.annotate(f"{limit:.0f}", (1.0, limit), xycoords=("axes fraction", "data"), fontsize=8,
                          ha="right", xytext=(0, 2), textcoords="offset points")  # fmt: skip
        side.set_xticks([])
        side.set_xlabel("at birth")
        side.spines["bottom"].set_visible(False)
        side.tick_params(axis="y", length=0)
        margins(figure, left=34, right=6, top=legend(figure, 2 if narrow else 5) + 20)
        figure.subplots_adjust(wspace=0.03)

    q05, q50, q95 = np.quantile(births, (0.05, 0.5, 0.95))
    description = (
        f"{len(scans)} scans with estimated weight. Forecast birth weight: median {q50:.0f} g, "
        f"90 of 100 between {q05:.0f} and {q95:.0f} g. "
        + (f"Centiles 3, 10, 50, 90, 97 of {name}." if show_centiles else "")
    )
    return picture("growth", "Fetal weight: scans, standard and forecast", description, paint,
                   wide_height_pt=360.0, narrow_height_pt=340.0)  # fmt: skip


def if_born_on(rows: Sequence[Mapping[str, Any]]) -> Picture | None:
    """P(outcome if born on each day), one line per outcome present; None without rows."""
    present = [o for o in _LINES if any(o in r for r in rows)]
    if not rows or not present:
        return None
    days = np.array([float(r["gestational_day"]) for r in rows]) / 7.0

    def paint(figure: Figure, narrow: bool) -> None:
        ax = figure.subplots()
        ends = []
        for outcome in present:
            style = _LINES[outcome]
            p = np.array([100.0 * r.get(outcome, np.nan) for r in rows])
            ax.plot(days, p, lw=2.0, color=style["color"], linestyle=style["linestyle"])
            known = np.flatnonzero(np.isfinite(p))[-1]  # a reference may end before the last day
            ends.append((days[known], float(p[known]), outcome_short(outcome), style["color"]))
        top = max(20.0, max(100.0 * r.get(o, 0.0) for r in rows for o in present) * 1.12)
        ax.set(ylim=(0.0, min(100.0, top)), xlabel="if born at (weeks of pregnancy)")
        ax.set_title("of 100 women", loc="left", fontsize=9)
        label_ends(ax, ends, gap=min(100.0, top) * (0.055 if narrow else 0.06))
        step = 2 if narrow and days[-1] - days[0] > 3.5 else 1
        ticks = np.arange(np.ceil(days[0]), days[-1] + 1e-6, step)
        ax.set_xticks(ticks, [f"{t:.0f}+0" for t in ticks])
        ax.grid(axis="y", color=FAINT, lw=0.5)
        margins(figure, left=26, right=62, top=20)

    first, last = rows[0], rows[-1]
    said = "; ".join(
        f"{outcome_short(o)}: {100 * first[o]:.0f} of 100 at {weeks_and_days(first['gestational_day'])}, "
        f"{100 * last[o]:.0f} at {weeks_and_days(last['gestational_day'])}"
        for o in present
        if o in first and o in last
    )
    return picture("born", "Outcomes if born on each day", said + ".", paint,
                   wide_height_pt=270.0, narrow_height_pt=260.0)  # fmt: skip


def issued_history(issued: Sequence[Mapping[str, Any]]) -> Picture | None:
    """P(outcome) as issued on each past date, points joined only to guide the eye; None without history."""
    present = [o for o in OUTCOMES if o in _LINES and any(o in r for r in issued)]
    if not issued or not present:
        return None
    rows = sorted(issued, key=lambda r: str(r["as_of"]))
    dates = pd.to_datetime([str(r["as_of"])[:10] for r in rows]).to_pydatetime()

    years = "\u2013".join(dict.fromkeys((str(dates[0].year), str(dates[-1].year))))

    def paint(figure: Figure, narrow: bool) -> None:
        ax = figure.subplots()
        ends = []
        for outcome in present:
            p = np.array([100.0 * r.get(outcome, np.nan) for r in rows])
            style = _LINES[outcome]
            ax.plot(dates, p, lw=0.9, ms=5.5, mfc="white", **style)  # type: ignore[arg-type]
            known = np.flatnonzero(np.isfinite(p))
            ends.append((dates[known[-1]], float(p[known[-1]]), outcome_short(outcome), style["color"]))
        top = max(20.0, max(100.0 * r.get(o, 0.0) for r in rows for o in present) * 1.15)
        ax.set(ylim=(0.0, min(100.0, top)), xlabel=f"date the forecast was made, {years}")
        ax.set_title("of 100 women", loc="left", fontsize=9)
        ax.margins(x=0.04)
        locator = AutoDateLocator(minticks=2, maxticks=4 if narrow else 7)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(DateFormatter("%d %b"))
        label_ends(ax, ends, gap=min(100.0, top) * (0.07 if narrow else 0.075), offset=7.0)
        ax.grid(axis="y", color=FAINT, lw=0.5)
        margins(figure, left=26, right=66, top=20)

    said = "; ".join(
        f"{str(r['as_of'])[:10]}: "
        + ", ".join(f"{outcome_short(o)} {100 * r[o]:.0f}" for o in present if o in r)
        for r in rows
    )
    return picture("issued", "Forecasts as they were issued", f"Of 100 women, by date issued. {said}.", paint,
                   wide_height_pt=230.0, narrow_height_pt=235.0)  # fmt: skip
