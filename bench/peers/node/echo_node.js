#!/usr/bin/env node
// An echo server with Node.js: an event for each piece received; see bench/common/bench_echo.h.
//
// Usage: echo_node.js [--port N] [--workers N]
//
// One event loop is one thread, whatever --workers says. Node sets SO_REUSEADDR.
'use strict';

const net = require('net');

const BACKLOG = 4096;

function numberAfter(name, otherwise) {
  const index = process.argv.indexOf(name);
  return index < 0 ? otherwise : Number(process.argv[index + 1]);
}

const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on('data', (data) => {
    if (!socket.write(data)) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  });
  socket.on('error', () => socket.destroy());
});
server.listen(numberAfter('--port', 0), '127.0.0.1', BACKLOG, () => {
  console.log(server.address().port);
});
