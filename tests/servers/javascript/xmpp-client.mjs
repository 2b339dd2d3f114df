// Two users of @xmpp/client write to each other over WebSocket, and leave.
import { createRequire } from 'node:module';
const require = createRequire(process.env.NODE_PATH + '/');
// A browser handles each message in a task of its own. The client counts stanzas asynchronously, and
// counts wrongly what comes together with <enabled/> in one task.
const WS = require('ws');
globalThis.WebSocket = class extends WS {
  constructor(url, protocols) { super(url, protocols, { allowSynchronousEvents: false }); }
};
const { client, xml } = require('@xmpp/client');

const [service, count] = [process.argv[2], Number(process.argv[3])];
const heard = [0, 0];
let ready = 0;

const users = [0, 1].map((number) => {
  const one = client({
    service,
    domain: 'localhost',
    resource: 'javascript',
    username: `user_${901 + number}`,
    password: `password_${901 + number}`,
  });
  one.reconnect.stop();
  one.on('error', (error) => { console.log(`${number} failed: ${error}`); process.exit(1); });
  return one;
});

users.forEach((one, number) => {
  one.on('stanza', async (stanza) => {
    if (stanza.is('presence') && stanza.attrs.from === String(one.jid) && ++ready === 2) {
      for (const sender of users) {
        for (let n = 0; n < count; n++) {
          const to = `user_${901 + (1 - users.indexOf(sender))}@localhost`;
          await sender.send(xml('message', { to, type: 'chat' }, xml('body', {}, `<${n}> ü`)));
        }
      }
    }
    if (!stanza.is('message')) return;
    const body = stanza.getChildText('body');
    if (body !== `<${heard[number]}> ü`) throw new Error(`heard ${body}`);
    heard[number]++;
    if (heard[0] === count && heard[1] === count) {
      for (const user of users) await user.stop();
      console.log(`0 heard ${heard[0]}\n1 heard ${heard[1]}`);
      process.exit(0);
    }
  });
  one.on('online', () => one.send(xml('presence')));
});

for (const one of users) one.start().catch((error) => console.log(`failed: ${error}`));
