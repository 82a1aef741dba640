// Holds docs/schemas to the tools that others read them with: AsyncAPI's own parser, and Ajv.
// Knows nothing of how they are made. The argument is the folder with node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const load = createRequire(resolve(process.argv[2], "package.json"));
const { Parser } = load("@asyncapi/parser");
const Ajv = load("ajv/dist/2020").default;
const formats = load("ajv-formats").default;
const read = (name) => readFileSync(`docs/schemas/${name}.json`, "utf8");
const problems = [];

// Unknown keywords are errors, so that a misspelt one does not pass for "anything".
const ajv = formats(new Ajv({ strict: true, strictRequired: false, allowUnionTypes: true, strictTypes: false }));
for (const each of ["path", "file-path"]) ajv.addFormat(each, true); // pydantic's note: a file's name
let examples = 0;
for (const name of ["event", "result", "dead-letter", "configuration"]) {
    const schema = JSON.parse(read(name));
    try {
        const fits = ajv.compile(schema);
        for (const example of schema.examples ?? []) {
            examples += 1;
            if (!fits(example)) problems.push(`${name}: ${ajv.errorsText(fits.errors)}`);
        }
    } catch (error) {
        problems.push(`${name}: ${error.message}`);
    }
}
const { document, diagnostics } = await new Parser().parse(read("asyncapi"));
// Severity 0 is an error, 1 a warning; below are matters of taste.
for (const each of diagnostics.filter(({ severity }) => severity < 2)) {
    problems.push(`asyncapi: ${each.message} at ${each.path.join(".")}`);
}
for (const problem of problems) console.error(problem);
const figures = { schemas: 4, examples, channels: document?.channels().all().length ?? 0 };
console.log(JSON.stringify({ ok: problems.length === 0, ...figures, problems: problems.length }));
process.exit(problems.length === 0 ? 0 : 1);
