#!/usr/bin/env node
// Node.js as a server of the workload http; see bench/http_bench.py.
//
// Usage: http_node.js [--port N] [--workers N]
//
// One event loop is one thread, whatever --workers says.
'use strict';

const http = require('http');

const BACKLOG = 4096;

function numberAfter(name, otherwise) {
  const index = process.argv.indexOf(name);
  return index < 0 ? otherwise : Number(process.argv[index + 1]);
}

const server = http.createServer((request, response) => {
  const found = request.url === '/plaintext';
  const body = found ? 'Hello, World!' : '';
  response.writeHead(found ? 200 : 404,
                     { 'Server': 'node', 'Content-Type': 'text/plain', 'Content-Length': body.length });
  response.end(body);
});
server.keepAliveTimeout = 60000;
server.listen(numberAfter('--port', 0), '127.0.0.1', BACKLOG, () => {
  console.log(server.address().port);
});
