// A WebSocket server that sends back what it gets: text of even length in two parts, after a ping.
// node echo.cjs PORT
"use strict";

const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const text = data.toString();
    if (text.length % 2 === 0) {
      socket.ping();
      socket.send(text.slice(0, 3), { fin: false });
      socket.send(text.slice(3), { fin: true });
    } else {
      socket.send(text);
    }
  });
});
