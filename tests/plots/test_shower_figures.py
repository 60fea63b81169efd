"""Showers as images: every voxel where its layer has it, and one colour scale for what is compared."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from caloforge import plots
from caloforge.errors import CaloforgeError
from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from caloforge.plots import layers
from caloforge.plots.showers import ImageRow, gallery

POLAR = Layer(1, (0, 1, 2), n_alpha=3)
SMALL = Geometry("small", (Layer(0, (0, 1, 2)), POLAR))
UNIT = layers.Frame(0, 0, 1)


@pytest.fixture
def draw(panels):
    def drawn(layer, voxels, norm, frame=UNIT):
        return layers.draw_layer(layer, voxels, ax=panels(1)[0], frame=frame, norm=norm)

    return drawn


def test_polar_layer_shows_each_voxel_in_its_sector(draw):
    voxels = np.arange(1.0, 7)  # alpha slowest, r fastest
    mesh = draw(POLAR, voxels, LogNorm(1, 6), layers.Frame(1, 2, 2))
    drawn = mesh.get_array()
    assert drawn.shape == (2, 60)  # rings, and 3 sectors of 20 segments
    assert drawn[0, [0, 20, 40]].tolist() == [1, 3, 5]
    assert drawn[1, [19, 39, 59]].tolist() == [2, 4, 6]
    # A frame of 2 inches from (1, 2): its centre is (2, 3), the outermost ring has a radius of 1.
    x, y = np.moveaxis(mesh.get_coordinates() - [2, 3], -1, 0)
    assert np.hypot(x, y)[:, 7] == pytest.approx([0, 0.5, 1])
    assert np.arctan2(y[2, 1:-1], x[2, 1:-1]) == pytest.approx(np.linspace(-np.pi, np.pi, 61)[1:-1])
    assert (x[2, 0], y[2, 0]) == pytest.approx((-1, 0))


def test_wide_rings_are_drawn_with_the_root_of_the_radius():
    assert layers.drawn_radii(Layer(0, (0, 4, 100, 400))) == pytest.approx([0, 0.1, 0.5, 1])
    assert layers.drawn_radii(POLAR) == pytest.approx([0, 0.5, 1])


def test_voxels_without_energy_are_masked(draw):
    mesh = draw(POLAR, np.array([0, 1, np.nan, 2, 3, 4]), LogNorm(1, 4))
    assert mesh.get_array().mask.sum() == 2 * 20


def test_cartesian_layer_is_an_image_of_eta_against_phi(draw):
    layer = CartesianLayer(0, phi_edges=(0, 10, 20), eta_edges=(0, 1, 2, 4))
    mesh = draw(layer, np.arange(1.0, 7), LogNorm(1, 6))
    assert mesh.get_array().tolist() == [[1, 2, 3], [4, 5, 6]]
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 0.25, 0.5, 1]
    assert mesh.get_coordinates()[:, 0, 1].tolist() == [0, 0.5, 1]


def test_colour_bar_runs_over_the_scale(panels):
    (ax,) = panels(1)
    layers.draw_colour_bar(ax, LogNorm(1, 100), "viridis", (1.0, 0.5, 2.0, 0.1), {1.0: "one", 10.0: "ten"})
    colours = ax.collections[-1].get_array().ravel()
    assert (np.diff(colours) > 0).all()
    assert 1 < colours[0] < 1.05
    assert 95 < colours[-1] < 100
    ticks = {text.get_text(): text.get_position()[0] for text in ax.texts}
    assert ticks == pytest.approx({"one": 1.0, "ten": 2.0})  # half of two decades


def test_ratio_is_blank_only_where_neither_has_energy():
    found = layers.ratio(np.array([2.0, 0, 1, 0]), np.array([1.0, 1, 0, 0]))
    assert found[:3].tolist() == [2, 1e-3, 1e3]
    assert np.isnan(found[3])


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([0.0, 1.0, 100.0], 1, 100), ([0.0, 0.0], 0.1, 1), ([5.0], 0.5, 5), ([1e-9, 1e3], 1e-2, 1e3)],
)
def test_energy_norm(values, low, high):
    norm = layers.energy_norm(np.array(values))
    assert (norm.vmin, norm.vmax) == pytest.approx((low, high))


def test_layers_are_chosen_where_the_energy_is():
    geometry = load_geometry("ds2")
    means = np.zeros(geometry.n_voxels)
    means[geometry.slices[10].start : geometry.slices[20].stop] = 1.0
    chosen = layers.choose_layers(geometry, means, 8)
    assert len(chosen) <= 8
    assert (min(chosen), max(chosen)) == (10, 20)
    assert layers.choose_layers(geometry, means * 0, 4) == [0, 15, 29, 44]
    assert layers.choose_layers(load_geometry("ds1-photons"), np.ones(368), 8) == [0, 1, 2, 3, 4]


def test_selected_layers_keep_their_voxels():
    kept, index = layers.select(SMALL, [1])
    assert kept.layers == (POLAR,)
    assert index.tolist() == [2, 3, 4, 5, 6, 7]


def test_rows_of_one_scale_share_their_colours():
    rows = [
        ImageRow("a", np.arange(1.0, 9), "x"),
        ImageRow("b", 3 * np.arange(1.0, 9), "x"),
        ImageRow("c", np.full(8, 50.0), "y"),
    ]
    canvas, meshes = gallery(SMALL, rows)
    assert [meshes[k][0].get_clim() for k in range(3)] == [(1, 6), (1, 6), (5, 50)]
    assert len(canvas.collections) == 3 * 2 + 2 * 2  # images, and a colour bar per layer and scale
    canvas.figure.canvas.draw()


def test_average_showers_have_their_ratio():
    reference = np.arange(1.0, 9)
    data = {
        "geometry": SMALL.to_dict(),
        "rows": [
            {"title": "generated", "voxels": (2 * reference).tolist()},
            {"title": "reference", "voxels": [*reference]},
        ],
        "unit": "mean energy [MeV]",
        "ratio": True,
    }
    canvas = plots.draw("showers", data)
    meshes = [mesh for mesh in canvas.collections if len(mesh.get_array().ravel()) != 64]
    assert len(meshes) == 3 * 2
    assert np.unique(meshes[5].get_array()).tolist() == [2]


def test_one_shower_with_its_energy():
    canvas = plots.shower(SMALL, np.arange(8.0), 2048.0, title="generated")
    assert {"layer 0", "layer 1", "generated\n2.048 GeV"} <= {text.get_text() for text in canvas.texts}


def test_many_layers_are_selected_or_go_below_each_other():
    geometry = Geometry("deep", tuple(Layer(k, (0, 1, 2)) for k in range(45)))
    voxels = np.ones(90)

    def shown(**settings):
        canvas = plots.shower(geometry, voxels, **settings)
        return canvas.figure, [t.get_text() for t in canvas.texts if t.get_text().startswith("layer")]

    _, few = shown()  # at equal steps of the energy
    assert len(few) == 6
    figure, names = shown(layers=[3, 7])
    assert names == ["layer 3", "layer 7"]
    whole, every = shown(layers=geometry.layer_ids)
    assert every == [f"layer {k}" for k in range(45)]
    assert whole.get_figheight() == pytest.approx(8 * figure.get_figheight())


def test_a_shower_on_ones_own_axes(panels):
    left, right = panels(2)
    assert plots.shower(SMALL, np.arange(8.0), ax=right) is right
    assert not left.collections
    assert len(right.collections) == 2 + 2
    assert right.get_aspect() == 1


def test_wrong_showers_and_layers_raise():
    with pytest.raises(ValueError, match="8 voxels"):
        plots.shower(SMALL, np.ones(7))
    with pytest.raises(CaloforgeError, match="no layer 5"):
        plots.shower(SMALL, np.ones(8), layers=[5])
    with pytest.raises(ValueError, match="empty"):
        plots.shower(SMALL, np.ones(8), layers=[])
