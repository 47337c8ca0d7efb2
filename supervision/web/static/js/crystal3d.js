/** A crystal in three dimensions, turned by mouse, finger and keyboard; drawn only when it changes. */

import * as THREE from "../vendor/three/three.min.js";
import { crystalModel } from "./crystal_model.js";
import { drawAtWidth } from "./dom.js";
import { turnedByHand } from "./turning.js";

const FIELD_DEGREES = 22; // of view; small, so that parallel edges look parallel
const TURN_DEGREES = -28; // away from a, so that atoms behind others are seen
const TILT_DEGREES = 14;
const ROOM = 1.1; // for the letters of the axes
const ZOOM = { least: 0.5, most: 8 };
const X = new THREE.Vector3(1, 0, 0);
const Y = new THREE.Vector3(0, 1, 0);

export class CrystalViewer {
  /**
   * Raises an error where the browser has no WebGL.
   * @param {HTMLCanvasElement} canvas whose parent has the size of the picture
   */
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.camera = new THREE.PerspectiveCamera(FIELD_DEGREES);
    this.scene = new THREE.Scene().add(new THREE.AmbientLight("#ffffff", 1.5), this.camera);
    const light = new THREE.DirectionalLight("#ffffff", 2.2);
    light.position.set(-1, 1.4, 1.2);
    this.camera.add(light);
    turnedByHand(canvas, this);
    drawAtWidth(canvas.parentElement, () => this.#resize());
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.crystal && this.#build());
    canvas.addEventListener("webglcontextrestored", () => this.#draw());
  }

  /** @param {import("./crystal_model.js").Crystal} crystal */
  show(crystal) {
    this.crystal = crystal;
    this.turn = home();
    this.zoomed = 1;
    this.#build();
  }

  /** Turn about the axes of the screen, by angles in radians. */
  rotate(right, down) {
    const about = (axis, angle) => new THREE.Quaternion().setFromAxisAngle(axis, angle);
    this.turn.premultiply(about(Y, right)).premultiply(about(X, down));
    this.#draw();
  }

  /** Magnify by a factor. */
  zoom(factor) {
    this.zoomed = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoomed * factor));
    this.#draw();
  }

  /** Back to the view at first. */
  reset() {
    this.turn = home();
    this.zoomed = 1;
    this.#draw();
  }

  #build() {
    if (this.model) dispose(this.scene, this.model.object);
    const towardsViewer = new THREE.Vector3(0.3, 0.45, 1).normalize();
    const axis = towardsViewer.applyQuaternion(home().invert());
    const edgeColour = getComputedStyle(this.canvas).color;
    this.model = crystalModel(this.crystal, axis, edgeColour);
    this.scene.add(this.model.object);
    this.#resize();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !this.model) return;
    this.renderer.setSize(width, height);
    this.camera.aspect = width / height;
    this.#draw();
  }

  /** Draw before the next frame, once, however often this is called. */
  #draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      const { object, radius } = this.model;
      object.quaternion.copy(this.turn);
      const half = (FIELD_DEGREES / 2) * (Math.PI / 180) * Math.min(1, this.camera.aspect);
      const distance = (ROOM * radius) / Math.sin(half) / this.zoomed;
      this.camera.position.z = distance;
      this.camera.near = Math.max(0.01 * radius, distance - 1.5 * radius);
      this.camera.far = distance + 1.5 * radius;
      this.camera.updateProjectionMatrix();
      this.renderer.render(this.scene, this.camera);
    });
  }
}

/** c upwards and a towards the viewer, turned and tilted a little. */
function home() {
  const degrees = Math.PI / 180;
  const [right, up, near] = [Y, new THREE.Vector3(0, 0, 1), X]; // as axes of the crystal
  const frame = new THREE.Matrix4().makeBasis(right, up, near).transpose();
  return new THREE.Quaternion()
    .setFromRotationMatrix(frame)
    .premultiply(new THREE.Quaternion().setFromAxisAngle(Y, TURN_DEGREES * degrees))
    .premultiply(new THREE.Quaternion().setFromAxisAngle(X, TILT_DEGREES * degrees));
}

function dispose(scene, object) {
  scene.remove(object);
  object.traverse((part) => {
    part.geometry?.dispose();
    part.material?.map?.dispose();
    part.material?.dispose();
    if (part.isInstancedMesh) part.dispose();
  });
}
