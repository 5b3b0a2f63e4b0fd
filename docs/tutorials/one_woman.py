"""One woman, from record to report: run the packaged patient and read what came out.

    python docs/tutorials/one_woman.py [FHIR_FILE]

Without a file it runs `gdm-twin demo`, whose patient is simulated.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

out = Path(tempfile.mkdtemp(prefix="one-woman-"))
gdm_twin = str(Path(sys.executable).with_name("gdm-twin"))  # the one installed beside this Python
command = ["run", sys.argv[1]] if len(sys.argv) > 1 else ["demo"]
subprocess.run([gdm_twin, *command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)

# 1. Everything was written below `out`; risk.json is the short one.
path = next(out.rglob("risk.json"))
risk = json.loads(path.read_text(encoding="utf-8"))
print(f"report: {path.with_name('report.html')}")

# 2. First the gate, the raw alerts and the age of the data. Only then a number.
print(f"scope: {risk['scope']['status']} {risk['scope']['reasons']}")
print(f"raw alerts: {len(risk['raw_alerts'])}; data: {risk['data']}")

# 3. Can the fit be trusted? Not ok means: do not read on.
fit = risk.get("calibration", {})
print(f"fit: {fit.get('method')}, ok {fit.get('ok')}, Pareto k {fit.get('pareto_k')}")

# 4. A probability holds under a strategy and a delivery assumption, and has a model range.
for scenario in risk["scenarios"]:
    print(f"\n{scenario['name']}: {scenario['treatment_strategy']}; {scenario['delivery_assumption']}")
    weight = scenario["birth_weight_g"]
    print(f"  birth weight, 90 of 100: {weight['q05']:.0f} to {weight['q95']:.0f} g")
    for row in scenario["outcomes"]:
        p, low, high = (100 * row[k] for k in ("probability", "low", "high"))
        print(
            f"  {row['outcome']:16} {p:3.0f} of 100 women with these data (model range {low:.0f} to {high:.0f})"
        )

# 5. What was not used, and why.
for issue in risk["issues"][:5]:
    print(f"not used: {issue['source']}: {issue['code']}")

print("""
What to trust
- What was read, what was rejected and why; the raw readings and their age.
- That the numbers follow from the model, the prior and her data: the fit says when they do not.
- Differences between scenarios more than the numbers themselves: they share draws and noise.

What not to trust
- The packaged patient is simulated by the model that fits her. That it fits says nothing about women.
- The effect of glucose on growth: a population value, not learnt from her data.
- A forecast with old data or `prior_only`: those are not her numbers.
- Anything this does not forecast: dystocia, stillbirth, injury, neonatal hypoglycaemia.
No dose, date or drug follows from these numbers.""")
