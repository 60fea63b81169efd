"""Kinds of chart: which data each needs, and the function that draws it.

A chart of an evaluation (`caloforge.evaluation.metrics.base.Chart`) has a `kind` and plain `data`: numbers, text, lists
or numpy arrays. All that is drawn is in there, so a report that was saved and loaded draws the same figures. Lengths
are mm and energies MeV; G and R below stand for the generated and the reference sample.

| kind | fields of `data` |
|---|---|
| `showers` | `geometry`: `Geometry.to_dict()` of the layers that are drawn, and only those; `rows`: list of {`title`, `voxels` (V of those layers) [MeV], optional `scale`: rows of one scale share their colours}; `unit`: words at the colour bar, as "energy [MeV]"; optional `ratio`: true draws row 0 over row 1 as one more row |
| `histograms` | `panels`: list of {`label` (mathtext, with unit), `edges` (B+1), `generated` (B+2), `reference` (B+2): counts with under- and overflow}; optional `log`: logarithmic fractions |
| `profiles` | `layers` (L ids), `generated` (L), `reference` (L): mean energy [MeV]; `transverse`: list of {`label`, as "r, layer 1 [mm]", `unit`, as "MeV / mm²", `edges` (B+1), `generated` (B), `reference` (B)} |
| `profile` | `label` of the horizontal axis, `positions` (P), `unit`, `generated`, `generated_error`, `reference`, `reference_error` (P each) |
| `response` | `edges` (B+1) of E_inc [MeV]; `ratio_edges` (R+1) of E_dep/E_inc; `generated`, `reference`: each {`counts` (B × R), `mean`, `error`, `width` (B each; nan or null with fewer than two showers)} |
| `matrix` | `names` (K, in words); `generated`, `reference`, `difference` (K × K; nan or null where there is none) |
| `roc` | `label`; `fpr`, `tpr`; optional `auc` |
| `weights` | `label`; `edges` (B+1) of log10 w; `generated` (B), `reference` (B): counts |
| `learning_curve` | `label`; `n` (showers per sample), `auc`, `error` |
| `bars` | `names`, `values`, optional `errors`; `label` of the axis |

Charts of kind `roc`, `weights` and `learning_curve` hold one classifier each; the report's page draws them together.

Histograms of observables are not charts but `hist.Hist` (`Report.hists`): axis 0 a `StrCategory` with "generated" and
"reference" (without overflow), axis 1 the observable, its `name` and `label` (mathtext, with unit), flow bins holding
what lies outside. `Hist.metadata` is a mapping that survives saving:

    {"group": "centres", "family": "ec_eta", "layer": 1 or None, "log": True}

`group` is the figure that it belongs to, `family` the observable without its layer, `log` whether fractions of showers
are drawn on a logarithmic scale.

A kind of one's own is one function, which draws on `ax` or on a new figure and returns the figure:

    from caloforge import plots

    @plots.chart("scatter")
    def scatter(data, ax=None):
        ax = plots.axes(ax, width=4, height=3)
        ax.plot(data["x"], data["y"], ".")
        return ax.figure
"""
