"""images/report-page.png: the first screen of a report, of a model in the package against the showers in the package.

Needs chromium. Run `python docs/report_page.py` (a minute).
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from PIL import Image

import caloforge as cf

PICTURE = Path(__file__).parent / "images" / "report-page.png"


def main() -> None:
    """Generate, evaluate, and take the picture."""
    test, train = cf.sample("test"), cf.sample("train")
    with tempfile.TemporaryDirectory() as above:
        folder = Path(above) / "photons"
        folder.mkdir()
        test.write(folder / "test.h5")
        train[: len(test)].write(folder / "train.h5")
        cf.load("flagship-atlas-like").generate(test.energies, seed=1).write(folder / "generated.h5")
        generated, reference, baseline = (folder / f"{name}.h5" for name in ("generated", "test", "train"))
        report = cf.evaluate(generated, reference, baseline=baseline, classifiers=["trees"])
        page = report.save(folder / "report") / "report.html"
        options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--blink-settings=preferredColorScheme=1"]
        command = ["chromium", *options, "--window-size=1240,900", f"--screenshot={PICTURE}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
    Image.open(PICTURE).quantize(96).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
