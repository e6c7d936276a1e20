"use strict";
// The report's own script: enlarges pictures, compares two of them by a slider, and draws the semantic relation.
// It reads what stands in the page and nothing else.
(() => {
  const byId = (id) => document.getElementById(id);

  // --- the viewer: one dialog for every grid

  const viewer = byId("viewer");
  const stage = viewer.querySelector(".stage");
  const slider = byId("viewer-slider");
  const sides = { left: byId("viewer-left-column"), right: byId("viewer-right-column") };
  let grid = null; // the table whose picture is enlarged
  let row = 0;

  const titles = (table) => [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const picture = (table, r, c) => table.tBodies[0].rows[r].cells[c].querySelector("img");

  const resize = () => {
    const image = picture(grid, row, Number(sides.left.value));
    const room = [viewer.clientWidth - 32, window.innerHeight - 260];
    const fit = Math.min(room[0] / image.naturalWidth, Math.max(room[1], 120) / image.naturalHeight);
    // Whole factors keep every pixel the same size.
    const factor = fit >= 1 ? Math.floor(fit) : fit;
    stage.style.width = `${image.naturalWidth * factor}px`;
    stage.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
  };

  const slide = () => {
    byId("viewer-left").style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
    stage.querySelector(".divider").style.left = `${slider.value}%`;
    slider.setAttribute("aria-valuetext", `${slider.value} % ${byId("viewer-left-name").textContent}`);
  };

  const show = () => {
    const names = titles(grid);
    byId("viewer-title").textContent = `Test image ${grid.tBodies[0].rows[row].dataset.name}`;
    for (const side of ["left", "right"]) {
      const column = Number(sides[side].value);
      const image = byId(`viewer-${side}`);
      image.src = picture(grid, row, column).src;
      image.alt = `${names[column]}, enlarged`;
      byId(`viewer-${side}-name`).textContent = names[column];
    }
    resize();
    slide();
  };

  const open = (tile) => {
    grid = tile.closest("table");
    row = Number(tile.dataset.row);
    const column = Number(tile.dataset.column);
    const names = titles(grid);
    for (const select of Object.values(sides)) {
      select.replaceChildren(...names.map((name, index) => new Option(name, index)));
    }
    sides.left.value = column;
    // The real photo is what a picture is measured by, or its input where it has none; that itself is seen against the
    // last column.
    const reference = Math.max(names.indexOf("real photo"), 0);
    sides.right.value = column === reference ? names.length - 1 : reference;
    slider.value = 50;
    viewer.showModal();
    show();
    slider.focus();
  };

  const step = (by) => {
    const count = grid.tBodies[0].rows.length;
    row = (row + by + count) % count;
    show();
  };

  document.querySelectorAll(".tile").forEach((tile) => {
    tile.addEventListener("click", () => open(tile));
    tile.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const rows = tile.closest("tbody").rows;
      const to = rows[Number(tile.dataset.row) + move[0]]?.cells[Number(tile.dataset.column) + move[1]];
      to?.querySelector("button").focus();
    });
  });
  slider.addEventListener("input", slide);
  Object.values(sides).forEach((select) => select.addEventListener("change", show));
  byId("viewer-previous").addEventListener("click", () => step(-1));
  byId("viewer-next").addEventListener("click", () => step(1));
  byId("viewer-close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => picture(grid, row, Number(sides.left.value)).closest("button").focus());
  window.addEventListener("resize", () => viewer.open && resize());

  // --- the semantic relation

  const source = byId("relation-data");
  if (source) relation(JSON.parse(source.textContent));

  function relation(data) {
    const pick = byId("relation-pick");
    const panels = [...document.querySelectorAll(".relation .map")];
    const models = ["teacher", "student"];
    const cells = data.rows * data.columns;
    const decoded = new Map(); // "image model" -> bytes of its matrix
    let [line, column] = [Math.floor(data.rows / 2), Math.floor(data.columns / 2)];

    const matrix = (image, model) => {
      const key = `${image} ${model}`;
      if (!decoded.has(key)) {
        decoded.set(key, Uint8Array.from(atob(data.images[image][model].rows), (c) => c.charCodeAt(0)));
      }
      return decoded.get(key);
    };

    // Row `cell` of A': an entry is its row's largest magnitude times n / 127, stored as n + 128.
    const relations = (image, model, cell) => {
      const scale = data.images[image][model].scale[cell] / 127;
      return Array.from(matrix(image, model).subarray(cell * cells, (cell + 1) * cells), (n) => (n - 128) * scale);
    };

    // From blue (-1) over paper (0) to red (1).
    const colour = (value) => {
      const end = value < 0 ? [38, 92, 150] : [176, 62, 34];
      return [244, 241, 234].map((paper, i) => Math.round(paper + (end[i] - paper) * Math.min(1, Math.abs(value))));
    };

    const paint = (canvas, values) => {
      const context = canvas.getContext("2d");
      const pixels = context.createImageData(canvas.width, canvas.height);
      values.forEach((value, index) => pixels.data.set([...colour(value), 255], index * 4));
      context.putImageData(pixels, 0, 0);
    };

    const draw = () => {
      const image = Number(byId("relation-image").value);
      const base = picture(byId("pictures-grid"), image, Number(byId("relation-base").value));
      byId("relation-picture").src = base.src;
      byId("relation-picture").alt = base.alt.replace(": enlarge", "");
      const cell = line * data.columns + column;
      const rows = models.map((model) => relations(image, model, cell));
      const largest = Math.max(...rows.flat().map(Math.abs)) || 1; // one scale for both
      models.forEach((model, index) => paint(byId(`relation-${model}`), rows[index].map((v) => v / largest)));
      document.querySelectorAll(".relation .marker").forEach((marker) => {
        marker.style.left = `${(100 * column) / data.columns}%`;
        marker.style.top = `${(100 * line) / data.rows}%`;
        marker.style.width = `${100 / data.columns}%`;
        marker.style.height = `${100 / data.rows}%`;
      });
      const distance = Math.sqrt(rows[0].reduce((sum, value, i) => sum + (value - rows[1][i]) ** 2, 0));
      byId("relation-low").textContent = `−${largest.toPrecision(2)}`;
      byId("relation-high").textContent = `+${largest.toPrecision(2)}`;
      byId("relation-status").textContent =
        `Row ${line + 1} of ${data.rows}, column ${column + 1} of ${data.columns}. ` +
        `Distance of the student's map to the teacher's: ${distance.toPrecision(3)}` +
        (data.side === 1 ? " (0 is the same, 1.41 unrelated)." : ".");
    };

    const move = (toLine, toColumn) => {
      line = Math.min(data.rows - 1, Math.max(0, toLine));
      column = Math.min(data.columns - 1, Math.max(0, toColumn));
      draw();
    };

    panels.forEach((panel) => {
      panel.addEventListener("click", (event) => {
        const box = panel.getBoundingClientRect();
        move(Math.floor(((event.clientY - box.top) / box.height) * data.rows),
             Math.floor(((event.clientX - box.left) / box.width) * data.columns));
      });
    });
    pick.addEventListener("keydown", (event) => {
      const to = {
        ArrowUp: [line - 1, column], ArrowDown: [line + 1, column],
        ArrowLeft: [line, column - 1], ArrowRight: [line, column + 1],
        Home: [line, 0], End: [line, data.columns - 1],
        PageUp: [0, column], PageDown: [data.rows - 1, column],
      }[event.key];
      if (!to) return;
      event.preventDefault();
      move(...to);
    });
    ["relation-image", "relation-base"].forEach((id) => byId(id).addEventListener("change", draw));
    paint(byId("relation-scale"), Array.from({ length: 101 }, (_, index) => index / 50 - 1));
    draw();
  }

  // --- on paper everything is open

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((details) => (details.open = true));
  });
  window.addEventListener("afterprint", () => closed.forEach((details) => (details.open = false)));
})();
