// What Node believes a request's path to be: the answer is the target as it arrived, a line feed, and the path that
// a program reads with the platform's own URL parser. Arguments: port, file of seen targets.
"use strict";

const { appendFileSync } = require("node:fs");
const { createServer } = require("node:http");

const [port, seen] = process.argv.slice(2);

createServer((request, response) => {
  appendFileSync(seen, `${request.url}\n`);
  const { pathname } = new URL(request.url, "http://reader.invalid");
  response.end(`${request.url}\n${decodeURIComponent(pathname)}`);
}).listen(Number(port), "127.0.0.1");
