for (const slider of document.querySelectorAll(".slider")) {
  const knob = slider.querySelector("input");
  const frames = slider.querySelectorAll(":scope > div");
  const show = () => frames.forEach((frame, index) => { frame.hidden = index !== Number(knob.value); });
  knob.style.display = "block";
  knob.addEventListener("input", show);
  show();
}
