/** A crystal as a three.js object: spheres cut by occupancy, bonds in halves, edges of the cell. */

import * as THREE from "../vendor/three/three.min.js";

const SPHERE_TO_ATOMIC_RADIUS = 0.45; // as in the images of the vision model
const BOND_RADIUS = 0.09; // angstrom
const FEW_ATOMS = 400; // spheres of more have fewer faces
const FULL_TURN = 2 * Math.PI;
const UP = new THREE.Vector3(0, 1, 0); // the axis of three's spheres and cylinders
const AXES = [["a", "#d1495b"], ["b", "#4f9d4f"], ["c", "#3f86c4"]];
const LABEL_PIXELS = 64;

/**
 * @typedef {object} Crystal what the server says: see docs/app.md
 * @property {number[][]} cell
 * @property {object[]} atoms
 * @property {number[][]} bonds
 */

/**
 * The object, centred at the origin, and the radius of a sphere around it in angstrom.
 * @param {Crystal} crystal
 * @param {THREE.Vector3} axis about which mixed spheres are cut: they look like pies along it
 * @param {string} edgeColour of the edges of the cell
 * @returns {{object: THREE.Group, radius: number}}
 */
export function crystalModel(crystal, axis, edgeColour) {
  const cell = crystal.cell.map((vector) => new THREE.Vector3(...vector));
  const centre = cell.reduce((sum, v) => sum.add(v), new THREE.Vector3()).multiplyScalar(0.5);
  const positions = crystal.atoms.map((atom) => new THREE.Vector3(...atom.position).sub(centre));
  const radius = Math.max(
    ...crystal.atoms.map((atom, i) => positions[i].length() + SPHERE_TO_ATOMIC_RADIUS * atom.radius),
    ...corners(cell).map((corner) => corner.sub(centre).length()),
  );
  const object = new THREE.Group();
  object.add(
    ...spheres(crystal.atoms, positions, axis),
    ...(crystal.bonds.length ? [bonds(crystal, positions)] : []),
    ...edges(cell, centre, edgeColour),
    ...labels(cell, centre, radius),
  );
  return { object, radius };
}

/** Atoms of equal occupation share their meshes: one for each wedge, and one for each cut face. */
function spheres(atoms, positions, axis) {
  const groups = Map.groupBy(atoms.keys(), (i) => {
    const { radius, species, vacancy } = atoms[i];
    return JSON.stringify([radius, species, vacancy]);
  });
  const turn = new THREE.Quaternion().setFromUnitVectors(UP, axis);
  const segments = atoms.length > FEW_ATOMS ? 16 : 40;
  return [...groups.values()].flatMap((members) => {
    const matrices = members.map((i) => placed(positions[i], turn));
    return pieces(atoms[members[0]], segments).map(([geometry, colour]) =>
      instances(geometry, material({ color: colour, side: THREE.DoubleSide }), matrices));
  });
}

/** Geometries with their colours: a wedge for each species; faces where a vacancy leaves a gap. */
function pieces({ radius: atomic, species, vacancy }, segments) {
  const radius = SPHERE_TO_ATOMIC_RADIUS * atomic;
  const found = [];
  let start = 0;
  for (const { occupancy, colour } of species) {
    const length = species.length === 1 && !vacancy ? FULL_TURN : FULL_TURN * occupancy;
    const around = Math.max(2, Math.ceil((segments * length) / FULL_TURN));
    found.push([new THREE.SphereGeometry(radius, around, segments / 2, start, length), colour]);
    start += length;
  }
  if (vacancy) {
    found.push([halfDisk(radius, 0, segments), species[0].colour]);
    found.push([halfDisk(radius, start, segments), species.at(-1).colour]);
  }
  return found;
}

/** The face of a sphere that is cut from its axis outwards, at an angle as of SphereGeometry. */
const halfDisk = (radius, angle, segments) =>
  new THREE.CircleGeometry(radius, segments / 2, -Math.PI / 2, Math.PI).rotateY(angle + Math.PI);

/** Each half of a bond has the colour of its atom. */
function bonds({ atoms, bonds: pairs }, positions) {
  const halves = pairs.flatMap(([i, j]) => [[i, j], [j, i]]);
  const matrices = halves.map(([from, to]) => {
    const half = positions[to].clone().sub(positions[from]).multiplyScalar(0.5);
    const middle = positions[from].clone().addScaledVector(half, 0.5);
    const length = half.length();
    const turn = new THREE.Quaternion().setFromUnitVectors(UP, half.normalize());
    return placed(middle, turn, new THREE.Vector3(1, length, 1));
  });
  const cylinder = new THREE.CylinderGeometry(BOND_RADIUS, BOND_RADIUS, 1, 12, 1, true);
  const mesh = instances(cylinder, material(), matrices);
  halves.forEach(([i], n) => mesh.setColorAt(n, new THREE.Color(atoms[i].species[0].colour)));
  return mesh;
}

/** The edges from the origin have the colours of their axes. */
function edges(cell, centre, colour) {
  const lines = (points, color) =>
    new THREE.LineSegments(
      new THREE.BufferGeometry().setFromPoints(points.map((point) => point.clone().sub(centre))),
      new THREE.LineBasicMaterial({ color }),
    );
  const origin = new THREE.Vector3();
  const others = cell.flatMap((vector, i) => {
    const [u, v] = [cell[(i + 1) % 3], cell[(i + 2) % 3]];
    const starts = [u, v, u.clone().add(v)];
    return starts.flatMap((start) => [start, start.clone().add(vector)]);
  });
  const axes = cell.map((vector, i) => lines([origin, vector], AXES[i][1]));
  return [lines(others, colour), ...axes];
}

function labels(cell, centre, radius) {
  return cell.map((vector, i) => {
    const sprite = new THREE.Sprite(new THREE.SpriteMaterial({ map: letter(...AXES[i]) }));
    const beyond = vector.clone().normalize().multiplyScalar(0.14 * radius);
    sprite.position.copy(vector).add(beyond).sub(centre);
    sprite.scale.setScalar(0.16 * radius);
    return sprite;
  });
}

function letter(text, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = LABEL_PIXELS;
  const context = canvas.getContext("2d");
  context.font = `italic 600 ${0.75 * LABEL_PIXELS}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(text, LABEL_PIXELS / 2, LABEL_PIXELS / 2);
  const texture = new THREE.CanvasTexture(canvas);
  texture.colorSpace = "srgb";
  return texture;
}

const corners = ([a, b, c]) =>
  [0, 1, 2, 3, 4, 5, 6, 7].map((bits) =>
    new THREE.Vector3()
      .addScaledVector(a, bits & 1)
      .addScaledVector(b, (bits >> 1) & 1)
      .addScaledVector(c, bits >> 2));

const placed = (position, turn, scale = new THREE.Vector3(1, 1, 1)) =>
  new THREE.Matrix4().compose(position, turn, scale);

const material = (options = {}) =>
  new THREE.MeshPhongMaterial({ shininess: 60, specular: "#333333", ...options });

function instances(geometry, surface, matrices) {
  const mesh = new THREE.InstancedMesh(geometry, surface, matrices.length);
  matrices.forEach((matrix, i) => mesh.setMatrixAt(i, matrix));
  return mesh;
}
