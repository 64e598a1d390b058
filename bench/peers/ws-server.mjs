// A peer for the benchmark: the `ws` library as its documentation has it, without compression, speaking the `plain` dialect.
// Text frames: `S<topic>` subscribes (answer `OK`), `P<topic>\n<payload>` publishes, `E<payload>` comes back.
//
// usage: node ws-server.mjs PORT

import { WebSocketServer } from 'ws';

const port = Number(process.argv[2]);
const topics = new Map();

function subscribe(socket, topic) {
  let subscribers = topics.get(topic);
  if (!subscribers) topics.set(topic, (subscribers = new Set()));
  subscribers.add(socket);
  socket.on('close', () => {
    subscribers.delete(socket);
    if (subscribers.size === 0) topics.delete(topic);
  });
  socket.send('OK');
}

function publish(text) {
  const end = text.indexOf('\n');
  const payload = text.slice(end + 1);
  for (const subscriber of topics.get(text.slice(1, end)) ?? []) subscriber.send(payload);
}

const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false, backlog: 4096 });
server.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data) => {
    const text = data.toString();
    if (text[0] === 'S') subscribe(socket, text.slice(1));
    else if (text[0] === 'P') publish(text);
    else if (text[0] === 'E') socket.send(text.slice(1));
    else socket.send('ERR unknown');
  });
});

process.on('SIGTERM', () => process.exit(0));
