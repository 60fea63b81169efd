// The showers in 3-D are drawn once the reader comes near: three.js is not even parsed before.
const showers = document.querySelector(".showers-3d");
function drawShowers() {
  const library = document.createElement("script");
  library.textContent = document.getElementById("showers-3d-library").textContent;
  document.head.append(library);
  showers.hidden = false;
  return mountViewer(showers, JSON.parse(document.getElementById("showers-3d-data").textContent), true);
}
new IntersectionObserver((entries, observer) => {
  if (!entries.some((entry) => entry.isIntersecting)) return;
  observer.disconnect();
  drawShowers();
}, { rootMargin: "600px" }).observe(showers.closest("figure"));
