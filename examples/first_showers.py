"""From a model of the package to a thousand showers, a picture of one, and a comparison with Geant4.

    python examples/first_showers.py

It writes `first-shower.png` and `centre-of-energy.png` into the current folder; `report.save("report")` would write the
whole report.
"""

from __future__ import annotations

import caloforge as cf


def main(n: int = 1000) -> None:
    """Generate showers of the energies of n Geant4 showers, and compare the two samples."""
    run = cf.load("flagship-atlas-like")
    reference = cf.sample("test", stop=n)
    showers = run.generate(reference.energies, seed=1)
    print(run, showers, sep="\n")
    cf.plots.figure_of(showers.plot(0)).savefig("first-shower.png")
    report = cf.evaluate(showers, reference, quick=True)
    print(report)
    cf.plots.figure_of(report.plot("ec_eta_1")).savefig("centre-of-energy.png")


if __name__ == "__main__":
    main()
