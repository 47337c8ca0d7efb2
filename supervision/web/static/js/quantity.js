/** What the model predicts, and how its values are named: Tc, or another quantity. */

/** @type {{name: string, symbol: string, label: string, unit: string, is_tc: boolean}} */
export const quantity = JSON.parse(document.body.dataset.quantity);

const FIELDS = { "": "tc_kelvin", _lower: "tc_lower", _upper: "tc_upper" };

/** A number with the unit. */
export const withUnit = (number) => (quantity.unit ? `${number} ${quantity.unit}` : number);

/** The name of a field of an answer in the rows that the server sends. */
function column(field) {
  const ending = Object.keys(FIELDS).find((key) => FIELDS[key] === field);
  return quantity.is_tc || ending === undefined ? field : quantity.name + ending;
}

/** A row of the server with the field names of Tc, which this page reads for every quantity. */
export function asFields(row) {
  if (quantity.is_tc) return row;
  const fields = { ...row };
  for (const field of Object.values(FIELDS)) fields[field] = row[column(field)] ?? null;
  fields.nearest = row.nearest.map(({ formula, distance, [quantity.name]: value }) =>
    ({ formula, tc_kelvin: value, distance }));
  return fields;
}
