/** Turning and zooming by mouse, finger, wheel and keys. */

const RADIANS_PER_PIXEL = 0.009;
const KEY_RADIANS = Math.PI / 18;
const KEY_ZOOM = 1.15;
const WHEEL_ZOOM = 0.0015; // of the logarithm, per pixel

/**
 * Let the user turn what an element shows.
 *
 * On touch screens a vertical swipe scrolls the page, and a drag that begins sideways turns. The
 * wheel zooms while the element has the focus, and scrolls the page otherwise.
 * @param {HTMLElement} element
 * @param {{rotate: (right: number, down: number) => void, zoom: (factor: number) => void,
 *   reset: () => void}} target
 */
export function turnedByHand(element, target) {
  element.style.touchAction = "pan-y";
  pointers(element, target);
  const keys = {
    ArrowLeft: () => target.rotate(-KEY_RADIANS, 0),
    ArrowRight: () => target.rotate(KEY_RADIANS, 0),
    ArrowUp: () => target.rotate(0, -KEY_RADIANS),
    ArrowDown: () => target.rotate(0, KEY_RADIANS),
    "+": () => target.zoom(KEY_ZOOM),
    "=": () => target.zoom(KEY_ZOOM),
    "-": () => target.zoom(1 / KEY_ZOOM),
    Home: () => target.reset(),
  };
  element.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  element.addEventListener("wheel", (event) => {
    if (document.activeElement !== element) return;
    event.preventDefault();
    target.zoom(Math.exp(-WHEEL_ZOOM * event.deltaY));
  }, { passive: false });
}

/** One pointer turns, two zoom by their distance. */
function pointers(element, target) {
  const down = new Map(); // where each pointer is, [x, y]
  const spread = () => {
    const [[x, y], [u, v]] = down.values();
    return Math.hypot(u - x, v - y);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    down.set(event.pointerId, [event.clientX, event.clientY]);
  });
  element.addEventListener("pointermove", (event) => {
    const last = down.get(event.pointerId);
    if (!last) return;
    const before = down.size === 2 ? spread() : 0;
    down.set(event.pointerId, [event.clientX, event.clientY]);
    if (down.size === 2 && before) target.zoom(spread() / before);
    if (down.size > 1) return;
    const [right, below] = [event.clientX - last[0], event.clientY - last[1]];
    target.rotate(RADIANS_PER_PIXEL * right, RADIANS_PER_PIXEL * below);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    element.addEventListener(end, (event) => down.delete(event.pointerId));
  }
}
