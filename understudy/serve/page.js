"use strict";
// The serving page's own script: sends an upload or the name of a sample to /compare, and shows what comes back.
(() => {
  const byId = (id) => document.getElementById(id);
  const result = byId("result");
  const shown = result.querySelector(".shown");
  const samples = [...document.querySelectorAll(".sample")];
  let latest = 0; // answers to anything but the latest request are not shown

  const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

  const complain = (text) => {
    byId("problem").textContent = text;
    byId("problem").hidden = !text;
  };

  const picture = (id, title, source, caption) => {
    const figure = byId(id);
    figure.hidden = !source;
    figure.querySelector("img").src = source || "data:,";
    figure.querySelector("img").alt = source ? title : "";
    figure.querySelector("figcaption span").textContent = caption;
  };

  const say = (answer) => {
    const { teacher, student } = answer;
    const passes = (of) => (of.passes === 1 ? "one pass" : `median of ${of.passes} passes`);
    const own = `The student took ${milliseconds(student.ms)} (${passes(student)}, ${student.by})`;
    if (teacher.absent) return `${own}. The teacher is not shown: ${teacher.absent}.`;
    const ratio = teacher.ms / student.ms;
    const by = teacher.by === student.by ? "" : `, ${teacher.by}`;
    return `${own}, the teacher ${milliseconds(teacher.ms)} (${passes(teacher)}${by}): ${ratio.toPrecision(2)} times as long.`;
  };

  const show = (answer) => {
    const [inputTitle, realTitle] = answer.titles;
    picture("input", inputTitle, answer.input, answer.size);
    picture("teacher", "teacher's photo", answer.teacher.photo, answer.teacher.photo ? milliseconds(answer.teacher.ms) : "");
    picture("student", "student's photo", answer.student.photo, milliseconds(answer.student.ms));
    picture("real", realTitle, answer.real, "");
    shown.hidden = false;
    byId("status").textContent = say(answer);
    const tile = samples.find((one) => one.getAttribute("aria-pressed") === "true");
    if (tile === undefined || tile === document.activeElement) result.scrollIntoView({ block: "nearest" });
    const moved = answer.version !== document.body.dataset.version;
    byId("moved").hidden = !moved;
    byId("moved").textContent = moved ? `${answer.version} has taken over meanwhile and made the pictures below; reload for its details.` : "";
  };

  const compare = async (address, body, type) => {
    const number = ++latest;
    complain("");
    result.setAttribute("aria-busy", "true");
    byId("status").textContent = "Translating…";
    try {
      const answer = await fetch(address, { method: "POST", body, headers: type ? { "Content-Type": type } : {} });
      const content = await answer.json();
      if (number !== latest) return;
      if (answer.ok) show(content);
      else throw new Error(content.error);
    } catch (error) {
      if (number !== latest) return;
      byId("status").textContent = "";
      shown.hidden = true;
      complain(error instanceof TypeError || error instanceof SyntaxError ? "The server does not answer." : `Not translated: ${error.message}`);
    } finally {
      if (number === latest) result.setAttribute("aria-busy", "false");
    }
  };

  const press = (pressed) => samples.forEach((tile) => tile.setAttribute("aria-pressed", String(tile === pressed)));

  samples.forEach((tile) =>
    tile.addEventListener("click", () => {
      press(tile);
      compare(`compare?sample=${encodeURIComponent(tile.dataset.sample)}`);
    }));

  // --- uploads: one file, or a label map and its instance map

  const base64 = (file) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
      reader.onerror = () => reject(reader.error);
      reader.readAsDataURL(file);
    });

  const send = (file) => {
    press(null);
    compare("compare", file, file.type || "application/octet-stream");
  };

  const pair = async () => {
    const [labels, instances] = ["labels", "instances"].map((id) => byId(id).files[0]);
    if (!labels || !instances) return;
    press(null);
    const body = JSON.stringify({ labels: await base64(labels), instances: await base64(instances) });
    compare("compare", body, "application/json");
  };

  const drop = byId("drop");
  if ("instances" in document.body.dataset) {
    ["labels", "instances"].forEach((id) => byId(id).addEventListener("change", pair));
  } else {
    byId("upload").addEventListener("change", (event) => event.target.files[0] && send(event.target.files[0]));
    drop.addEventListener("drop", (event) => event.dataTransfer.files[0] && send(event.dataTransfer.files[0]));
    ["dragenter", "dragover"].forEach((name) => drop.addEventListener(name, () => drop.classList.add("over")));
    ["dragleave", "drop"].forEach((name) => drop.addEventListener(name, () => drop.classList.remove("over")));
  }
  // A file dropped beside the field must not replace the page.
  ["dragover", "drop"].forEach((name) => window.addEventListener(name, (event) => event.preventDefault()));

  if (samples.length) samples[0].click();
})();
