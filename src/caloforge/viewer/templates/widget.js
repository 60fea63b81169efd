// Draws showers within `root`, the element that widget.html.j2 makes: 3-D views with a common camera, layer images, and
// what the controls choose. `page` is what `widget` in document.py describes. An embedded widget leaves the wheel and
// vertical swipes to the page around it until its canvas has the focus.
"use strict";

function mountViewer(root, page, embedded = false) {
  const layers = page.geometry.layers;
  const $ = (part) => root.querySelector(`[data-part="${part}"]`);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  // ---- showers --------------------------------------------------------------------------------------------------

  function decoded(text, Kind) {
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
    return new Kind(bytes.buffer);
  }

  for (const gallery of page.galleries) {
    for (const sample of [gallery.showers, gallery.beside]) {
      if (!sample) continue;
      sample.voxel = decoded(sample.voxel, Uint32Array);
      sample.energy = decoded(sample.energy, Float32Array);
    }
  }

  function hitsOf(sample, row) {
    const [a, b] = [sample.start[row], sample.start[row + 1]];
    return { voxel: sample.voxel.subarray(a, b), energy: sample.energy.subarray(a, b) };
  }

  let first = 0;
  const offsets = layers.map((layer) => {
    const here = first;
    layer.shape = layer.r ? [layer.n_alpha, layer.r.length - 1] : [layer.x.length - 1, layer.y.length - 1];
    first += layer.shape[0] * layer.shape[1];
    return here;
  });

  function place(voxel) {
    let low = 0, high = layers.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (offsets[middle] <= voxel) low = middle; else high = middle - 1;
    }
    const n = layers[low].shape[1], inside = voxel - offsets[low];
    return { layer: low, slow: Math.floor(inside / n), fast: inside % n };
  }

  // ---- numbers and colours --------------------------------------------------------------------------------------

  function inUnits(mev) {
    const [scale, unit] = mev >= 1e6 ? [1e-6, "TeV"] : mev >= 1e3 ? [1e-3, "GeV"] : mev >= 1 ? [1, "MeV"] : mev >= 1e-3 ? [1e3, "keV"] : [1e6, "eV"];
    return `${Number((mev * scale).toPrecision(4))} ${unit}`;
  }

  const [lowest, highest] = page.range.map(Math.log);
  const fraction = (energy) => (highest > lowest ? (Math.log(energy) - lowest) / (highest - lowest) : 1);
  const STOPS = {
    light: ["#e8c65f", "#ef9a3c", "#dd5f35", "#b1304f", "#74196c", "#2d0f57"],
    dark: ["#4c5cc4", "#7f56c9", "#c54c9f", "#f0705c", "#fbb54d", "#fcf7b0"],
  };

  function colour(t) {
    const stops = STOPS[dark.matches ? "dark" : "light"], x = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
    const k = Math.min(Math.floor(x), stops.length - 2), rest = x - k;
    return [1, 3, 5].map((p) => {
      const [a, b] = [stops[k], stops[k + 1]].map((s) => parseInt(s.slice(p, p + 2), 16));
      return (a + (b - a) * rest) / 255;
    });
  }

  const css = (t) => `rgb(${colour(t).map((c) => Math.round(255 * c)).join(" ")})`;
  const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // ---- shapes of voxels: z is drawn to the right, y upwards, x away from the viewer (right-handed) ----------------------------------

  const INSET = 0.06; // of a voxel on each side, so that neighbours can be told from each other

  function corners(voxel) {
    const { layer, slow, fast } = place(voxel), own = layers[layer];
    const shrink = (a, b) => [a + INSET * (b - a), b - INSET * (b - a)];
    const [z0, z1] = shrink(...own.z);
    if (!own.r) {
      const [x0, x1] = shrink(own.x[slow], own.x[slow + 1]), [y0, y1] = shrink(own.y[fast], own.y[fast + 1]);
      return { z0, z1, rings: [[[x0, y0], [x1, y0]], [[x0, y1], [x1, y1]]] };
    }
    const whole = own.n_alpha === 1, width = (2 * Math.PI) / own.n_alpha, start = -Math.PI + slow * width;
    const [a0, a1] = whole ? [start, start + width] : shrink(start, start + width);
    const [r0, r1] = shrink(own.r[fast], own.r[fast + 1]);
    const n = Math.max(1, Math.ceil((a1 - a0) / 0.3)), inner = [], outer = [];
    for (let k = 0; k <= n; k++) {
      const a = a0 + ((a1 - a0) * k) / n;
      inner.push([(own.r[fast] > 0 ? r0 : 0) * Math.cos(a), (own.r[fast] > 0 ? r0 : 0) * Math.sin(a)]);
      outer.push([r1 * Math.cos(a), r1 * Math.sin(a)]);
    }
    return { z0, z1, rings: [inner, outer], whole };
  }

  function addVoxel(voxel, into) {
    const { z0, z1, rings: [inner, outer], whole } = corners(voxel), n = inner.length - 1;
    const at = (p, z) => [z, p[1], -p[0]];
    const quad = (a, b, c, d) => into.push(...a, ...b, ...c, ...a, ...c, ...d);
    for (let k = 0; k < n; k++) {
      quad(at(inner[k], z0), at(inner[k + 1], z0), at(outer[k + 1], z0), at(outer[k], z0));
      quad(at(inner[k], z1), at(outer[k], z1), at(outer[k + 1], z1), at(inner[k + 1], z1));
      quad(at(outer[k], z0), at(outer[k + 1], z0), at(outer[k + 1], z1), at(outer[k], z1));
      quad(at(inner[k], z0), at(inner[k], z1), at(inner[k + 1], z1), at(inner[k + 1], z0));
    }
    if (!whole) {
      quad(at(inner[0], z0), at(outer[0], z0), at(outer[0], z1), at(inner[0], z1));
      quad(at(inner[n], z0), at(inner[n], z1), at(outer[n], z1), at(outer[n], z0));
    }
  }

  function outline() {
    const points = [], segment = (a, b) => points.push(...a, ...b);
    const step = Math.max(1, Math.round(layers.length / 9));
    layers.forEach((layer, k) => {
      if (k % step && k !== layers.length - 1) return;
      const z = k === layers.length - 1 ? layer.z[1] : layer.z[0], edge = [];
      if (layer.r) {
        const r = layer.r[layer.r.length - 1];
        for (let i = 0; i <= 64; i++) edge.push([z, r * Math.sin((i * Math.PI) / 32), -r * Math.cos((i * Math.PI) / 32)]);
      } else {
        const [x0, x1, y0, y1] = [layer.x[0], layer.x.at(-1), layer.y[0], layer.y.at(-1)];
        for (const [x, y] of [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]) edge.push([z, y, -x]);
      }
      for (let i = 1; i < edge.length; i++) segment(edge[i - 1], edge[i]);
    });
    const [front, back] = [layers[0].z[0], layers.at(-1).z[1]];
    segment([front - 0.15 * (back - front), 0, 0], [back, 0, 0]);
    return points;
  }

  const STEP = Math.PI / 24; // of a turn by an arrow key
  const MARGIN = 0.94; // of the view that the shower may fill at first
  let turned = false; // whether the reader has moved the camera, which then stays when the page changes its size

  // ---- one 3-D view -----------------------------------------------------------------------------------------------

  class View {
    constructor(canvas) {
      this.canvas = canvas;
      this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
      this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
      this.scene = new THREE.Scene();
      this.camera = new THREE.PerspectiveCamera(35, 1, 0.1, 1e6);
      this.controls = new THREE.OrbitControls(this.camera, canvas);
      this.controls.addEventListener("change", () => follow(this));
      this.controls.addEventListener("start", () => { turned = true; });
      if (embedded) {
        canvas.style.touchAction = "pan-y";
        this.controls.enableZoom = false;
        canvas.addEventListener("focus", () => { this.controls.enableZoom = true; });
        canvas.addEventListener("blur", () => { this.controls.enableZoom = false; });
      }
      canvas.addEventListener("keydown", (event) => this.key(event));
      const lines = new THREE.BufferGeometry();
      lines.setAttribute("position", new THREE.BufferAttribute(new Float32Array(outline()), 3));
      this.frame = new THREE.LineSegments(lines, new THREE.LineBasicMaterial({ transparent: true, opacity: 0.55 }));
      const light = new THREE.DirectionalLight(0xffffff, 1.4);
      light.position.set(-1, 3, 2);
      this.camera.add(light);
      this.scene.add(new THREE.AmbientLight(0xffffff, 2.1), this.frame, this.camera);
      this.ray = new THREE.Raycaster();
      canvas.addEventListener("pointermove", (event) => this.point(event));
      canvas.addEventListener("pointerdown", (event) => this.point(event));
      canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
    }

    show(hits) {
      if (this.mesh) {
        this.scene.remove(this.mesh);
        this.mesh.geometry.dispose();
        this.mesh.material.dispose();
      }
      // From low to high energy: the core of a shower is drawn over what surrounds it.
      const order = Array.from(hits.energy.keys()).sort((a, b) => hits.energy[a] - hits.energy[b]);
      const positions = [], colours = [];
      this.faces = []; // where the triangles of each voxel end
      this.voxels = [];
      for (const k of order) {
        addVoxel(hits.voxel[k], positions);
        const t = fraction(hits.energy[k]), rgb = new THREE.Color().setRGB(...colour(t), "srgb");
        while (colours.length / 4 < positions.length / 3) colours.push(rgb.r, rgb.g, rgb.b, 0.3 + 0.7 * t);
        this.faces.push(positions.length / 9);
        this.voxels.push({ voxel: hits.voxel[k], energy: hits.energy[k] });
      }
      const geometry = new THREE.BufferGeometry();
      geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(positions), 3));
      geometry.setAttribute("color", new THREE.BufferAttribute(new Float32Array(colours), 4));
      geometry.computeVertexNormals();
      const material = new THREE.MeshLambertMaterial({ vertexColors: true, transparent: true, depthWrite: false, side: THREE.DoubleSide });
      this.mesh = new THREE.Mesh(geometry, material);
      this.scene.add(this.mesh);
      this.draw();
    }

    draw() {
      const { clientWidth: width, clientHeight: height } = this.canvas;
      if (!width || !height) return;
      this.renderer.setSize(width, height, false);
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
      this.renderer.setClearColor(styled("--card"));
      this.frame.material.color.set(styled("--soft"));
      this.renderer.render(this.scene, this.camera);
    }

    under(x, y) { // the brightest voxel under a point of the canvas, which is the one drawn last
      const { width, height } = this.canvas.getBoundingClientRect();
      this.ray.setFromCamera(new THREE.Vector2((2 * x) / width - 1, 1 - (2 * y) / height), this.camera);
      const found = this.ray.intersectObject(this.mesh).map((hit) => this.faces.findIndex((end) => hit.faceIndex < end));
      return found.length ? this.voxels[Math.max(...found)] : null;
    }

    key(event) { // what dragging and the wheel do
      const turns = { ArrowLeft: [-1, 0, 1], ArrowRight: [1, 0, 1], ArrowUp: [0, -1, 1], ArrowDown: [0, 1, 1], "+": [0, 0, 0.9], "-": [0, 0, 1 / 0.9] };
      const turn = turns[event.key];
      if (!turn || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      turned = true;
      const { x, y, z } = this.camera.position.clone().sub(this.controls.target), r = Math.hypot(x, y, z);
      const around = Math.atan2(x, z) + turn[0] * STEP, down = Math.min(Math.max(Math.acos(y / r) + turn[1] * STEP, STEP), Math.PI - STEP);
      const at = [Math.sin(down) * Math.sin(around), Math.cos(down), Math.sin(down) * Math.cos(around)].map((part) => part * r * turn[2]);
      this.camera.position.set(...at).add(this.controls.target);
      this.controls.update();
    }

    point(event) {
      const { left, top } = this.canvas.getBoundingClientRect();
      if (event.pointerType === "mouse" && event.buttons) return;
      tell(this.under(event.clientX - left, event.clientY - top), event);
    }

    seenAt(voxel) { // where the centre of a voxel is on the canvas, in pixels
      const { z0, z1, rings } = corners(voxel), middle = [0, 0];
      const n = rings[0].length;
      for (const p of [rings[0][Math.floor(n / 2)], rings[1][Math.floor((n - 1) / 2)]]) { middle[0] += p[0] / 2; middle[1] += p[1] / 2; }
      const seen = new THREE.Vector3((z0 + z1) / 2, middle[1], -middle[0]).project(this.camera);
      const { width, height } = this.canvas.getBoundingClientRect();
      return [((seen.x + 1) * width) / 2, ((1 - seen.y) * height) / 2];
    }
  }

  function described(voxel) {
    const { layer, slow, fast } = place(voxel), own = layers[layer], span = (a, b) => `${Number(a.toFixed(1))} … ${Number(b.toFixed(1))} mm`;
    const where = own.r ? `r ${span(own.r[fast], own.r[fast + 1])}` + (own.n_alpha > 1 ? `, alpha bin ${slow}` : "") : `phi ${span(own.x[slow], own.x[slow + 1])}, eta ${span(own.y[fast], own.y[fast + 1])}`;
    return `layer ${own.id}, ${where}`;
  }

  function tell(hit, event) {
    const tip = $("tip");
    tip.hidden = !hit;
    if (!hit) return;
    tip.textContent = `${inUnits(hit.energy)} (${described(hit.voxel)})`;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - box.width - 6))}px`;
    tip.style.top = `${event.clientY + 18 + box.height > window.innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
  }

  // ---- layer images -----------------------------------------------------------------------------------------------

  const wide = layers.some((layer) => layer.r && layer.r.at(-1) > 40 * layer.r[1]);
  const stretch = wide ? Math.sqrt : (r) => r;

  function slice(canvas, layer, hits) {
    const own = layers[layer], size = 96 * Math.min(window.devicePixelRatio || 1, 2), draw = canvas.getContext("2d");
    canvas.width = canvas.height = size;
    const half = size / 2, line = styled("--line");
    draw.translate(half, half);
    const most = own.r ? stretch(own.r.at(-1)) : Math.max(...own.x.map(Math.abs), ...own.y.map(Math.abs)), scale = (half - 2) / most;
    draw.strokeStyle = line;
    draw.beginPath();
    if (own.r) draw.arc(0, 0, most * scale, 0, 7);
    else draw.rect(own.x[0] * scale, -own.y.at(-1) * scale, (own.x.at(-1) - own.x[0]) * scale, (own.y.at(-1) - own.y[0]) * scale);
    draw.stroke();
    for (let k = 0; k < hits.voxel.length; k++) {
      const { layer: of, slow, fast } = place(hits.voxel[k]);
      if (of !== layer) continue;
      draw.fillStyle = css(fraction(hits.energy[k]));
      draw.beginPath();
      if (own.r) { // x to the right, y upwards
        const width = (2 * Math.PI) / own.n_alpha, a = -(-Math.PI + (slow + 1) * width);
        draw.arc(0, 0, stretch(own.r[fast + 1]) * scale, a, a + width);
        draw.arc(0, 0, stretch(own.r[fast]) * scale, a + width, a, true);
      } else draw.rect(own.x[slow] * scale, -own.y[fast + 1] * scale, (own.x[slow + 1] - own.x[slow]) * scale, (own.y[fast + 1] - own.y[fast]) * scale);
      draw.fill();
    }
  }

  // ---- what is shown ----------------------------------------------------------------------------------------------

  let views;
  try {
    views = [new View($("view-0")), new View($("view-1"))];
  } catch (error) {
    root.replaceChildren(`Showers in 3-D need WebGL, which this browser does not offer: ${error.message}`);
    return null;
  }
  const now = { gallery: 0, shower: 0, grid: [], least: 0, layer: -1 }; // grid: position on each of its axes

  function follow(view) { // one camera for both
    for (const other of views) {
      if (other !== view) {
        other.camera.position.copy(view.camera.position);
        other.camera.quaternion.copy(view.camera.quaternion);
        other.controls.target.copy(view.controls.target);
      }
      other.draw();
    }
  }

  // The camera looks at the middle of the shower, from above, in front and aside, at the least distance from which a
  // cylinder about the axis, from the first layer to the last and of the radius of `core`, is seen whole.
  function resetView() {
    const [front, back] = [layers[0].z[0], layers.at(-1).z[1]], radius = core(), middle = (front + back) / 2;
    const size = Math.max(back - front, 2 * radius), { clientWidth: width, clientHeight: height } = views[0].canvas;
    const towards = new THREE.Vector3(-0.7, 0.6, 1.3).normalize(), upwards = new THREE.Vector3(0, 1, 0);
    const right = upwards.clone().cross(towards).normalize(), up = towards.clone().cross(right);
    const tangent = MARGIN * Math.tan((views[0].camera.fov * Math.PI) / 360), aspect = width && height ? width / height : 1;
    let far = 0;
    for (const z of [front, back]) {
      for (let k = 0; k < 24; k++) {
        const point = new THREE.Vector3(z - middle, radius * Math.sin((k * Math.PI) / 12), radius * Math.cos((k * Math.PI) / 12));
        far = Math.max(far, point.dot(towards) + Math.max(Math.abs(point.dot(right)) / aspect, Math.abs(point.dot(up))) / tangent);
      }
    }
    for (const view of views) {
      view.controls.target.set(middle, 0, 0);
      view.camera.position.set(middle, 0, 0).addScaledVector(towards, far);
      view.camera.near = size / 1000;
      view.camera.far = size * 100;
      view.camera.lookAt(middle, 0, 0);
      view.controls.update();
    }
    turned = false;
  }

  function core() { // radius of the hits that hold 99.5 % of the energy of the first showers
    const sample = page.galleries[0].showers, found = [];
    let total = 0;
    for (let k = 0; k < Math.min(sample.start.at(-1), 20000); k++) {
      const { layer, slow, fast } = place(sample.voxel[k]), own = layers[layer];
      found.push([own.r ? own.r[fast + 1] : Math.hypot(own.x[slow], own.y[fast]), sample.energy[k]]);
      total += sample.energy[k];
    }
    let left = 0.005 * total;
    found.sort((a, b) => b[0] - a[0]);
    for (const [r, energy] of found) if ((left -= energy) < 0) return r;
    return found.at(-1)[0];
  }

  function perPoint() { // showers at each point of the grid; all of them where there is none
    const { grid, showers } = page.galleries[now.gallery];
    return grid.reduce((number, axis) => number / axis.labels.length, showers.incident.length);
  }

  function rowNow() {
    const { grid } = page.galleries[now.gallery];
    return grid.reduce((row, axis, k) => row * axis.labels.length + now.grid[k], 0) * perPoint() + now.shower;
  }

  function chosen(hits) {
    const kept = Array.from(hits.energy.keys()).filter((k) => hits.energy[k] >= now.least && (now.layer < 0 || place(hits.voxel[k]).layer === now.layer));
    return { voxel: Uint32Array.from(kept, (k) => hits.voxel[k]), energy: Float32Array.from(kept, (k) => hits.energy[k]) };
  }

  function caption(into, name, sample, row, hits) {
    const sum = hits.energy.reduce((a, b) => a + b, 0), incident = sample.incident[row];
    const further = Object.entries(sample.conditions).map(([key, values]) => `, ${key} ${values[row]}`).join("");
    into.replaceChildren(Object.assign(document.createElement("b"), { textContent: name }), document.createElement("br"),
      `E_inc ${inUnits(incident)}${further}; E_dep ${inUnits(sum)} (${(sum / incident).toFixed(3)} E_inc), ${hits.voxel.length} hits`);
  }

  function show() {
    const gallery = page.galleries[now.gallery], row = rowNow(), shown = [[gallery.name, gallery.showers]];
    if (gallery.beside) shown.push([gallery.beside_name, gallery.beside]);
    $("second").hidden = !gallery.beside;
    const all = shown.map(([, sample]) => hitsOf(sample, row));
    shown.forEach(([name, sample], k) => {
      caption($(`caption-${k}`), k || gallery.grid.length || embedded ? name : `${name}, shower ${row + 1} (row ${row} of the file)`, sample, row, all[k]);
      views[k].show(chosen(all[k]));
    });
    const per = perPoint();
    $("shower").max = per - 1;
    $("shower").value = now.shower;
    $("shower-name").textContent = `shower ${now.shower + 1} of ${per}`;
    $("shower").setAttribute("aria-valuetext", `${now.shower + 1} of ${per}`);
    $("least-value").textContent = inUnits(Math.max(now.least, page.range[0]));
    $("least").setAttribute("aria-valuetext", $("least-value").textContent);
    $("slices").querySelectorAll("button").forEach((button, k) => {
      button.setAttribute("aria-pressed", String(k === now.layer));
      button.querySelectorAll("canvas").forEach((canvas, s) => {
        canvas.hidden = s >= all.length;
        if (s < all.length) slice(canvas, k, all[s]);
      });
    });
  }

  function step(by) {
    const most = Number($("shower").max) + 1;
    now.shower = (now.shower + by + most) % most;
    show();
  }

  function choose(number) { // a gallery, with a slider for each axis of its grid
    const { grid } = page.galleries[number];
    Object.assign(now, { gallery: number, shower: 0, grid: grid.map(() => 0) });
    $("grid").replaceChildren(...grid.map((axis, k) => {
      const label = document.createElement("label"), slider = document.createElement("input"), value = document.createElement("output");
      Object.assign(slider, { type: "range", min: 0, max: axis.labels.length - 1, step: 1, value: 0 });
      const tellValue = () => {
        value.textContent = axis.labels[now.grid[k]];
        slider.setAttribute("aria-valuetext", axis.labels[now.grid[k]]);
      };
      slider.addEventListener("input", () => { now.grid[k] = Number(slider.value); tellValue(); show(); });
      tellValue();
      label.append(`${axis.name} `, slider, value);
      return label;
    }));
  }

  layers.forEach((layer, k) => {
    const button = document.createElement("button"), pair = document.createElement("span");
    pair.className = "pair";
    pair.append(document.createElement("canvas"), document.createElement("canvas"));
    button.append(pair, `layer ${layer.id}`);
    pair.setAttribute("aria-hidden", "true");
    button.addEventListener("click", () => { now.layer = now.layer === k ? -1 : k; $("layer").value = now.layer; show(); });
    $("slices").append(button);
    $("layer").append(new Option(String(layer.id), k));
  });
  page.galleries.forEach((gallery, k) => $("gallery").append(new Option(gallery.name, k)));
  $("gallery-choice").hidden = page.galleries.length < 2;
  $("gallery").addEventListener("change", (e) => { choose(Number(e.target.value)); show(); });
  $("shower").addEventListener("input", (e) => { now.shower = Number(e.target.value); show(); });
  $("layer").addEventListener("change", (e) => { now.layer = Number(e.target.value); show(); });
  $("least").addEventListener("input", (e) => { now.least = e.target.value > 0 ? Math.exp(lowest + (e.target.value / 100) * (highest - lowest)) : 0; show(); });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("reset").addEventListener("click", () => { resetView(); show(); });

  function paint() { // what depends on the colour scheme
    const bar = $("bar-colours").getContext("2d");
    for (let k = 0; k < 256; k++) { bar.fillStyle = css(k / 255); bar.fillRect(k, 0, 1, 1); }
    show();
  }

  $("bar-low").textContent = inUnits(page.range[0]);
  $("bar-high").textContent = inUnits(page.range[1]);
  $("where").textContent = `${layers.length} layers, ${page.geometry.voxels} voxels; the particle comes from the left` + (page.threshold ? `; voxels below the threshold of ${inUnits(page.threshold)} are left out` : "") + (page.geometry.depths_known ? "." : "; the depths of the layers are not known, so they are drawn at equal distances.");
  if (wide) $("stretched").hidden = false;
  choose(0);
  resetView();
  paint();
  dark.addEventListener("change", paint);
  new ResizeObserver(() => {
    if (!turned) resetView();
    views.forEach((view) => view.draw());
  }).observe($("views"));

  return { page, views, hitsOf, now, show, $ };
}
