// Two users of strophe.js write to each other over WebSocket, and leave.
const [url, count] = [process.argv[2], Number(process.argv[3])];
globalThis.WebSocket ??= require('ws');
globalThis.window ??= globalThis;
const { Strophe, $msg, $pres } = require('strophe.js');

const heard = [0, 0];
const gone = new Set();

function user(number) {
  const connection = new Strophe.Connection(url, { protocol: 'ws' });
  const peer = `user_${901 + (1 - number)}@localhost`;
  connection.connect(`user_${901 + number}@localhost`, `password_${901 + number}`, (status) => {
    if (status === Strophe.Status.CONNECTED) {
      connection.addHandler((message) => {
        const body = message.getElementsByTagName('body')[0].textContent;
        if (body !== `<${heard[number]}> ü`) throw new Error(`heard ${body}`);
        if (++heard[number] === count) connection.disconnect('done');
        return true;
      }, null, 'message', 'chat');
      connection.addHandler((presence) => {
        if (presence.getAttribute('from').startsWith('user_')) ready(number);
        return true;
      }, null, 'presence');
      connection.send($pres());
    } else if (status === Strophe.Status.DISCONNECTED) {
      // strophe.js may say it twice: when the server has closed the stream, and the connection.
      if (!gone.has(number)) console.log(`${number} heard ${heard[number]}`);
      gone.add(number);
      if (gone.size === 2) process.exit(0);
    } else if (status === Strophe.Status.AUTHFAIL || status === Strophe.Status.CONNFAIL) {
      console.log(`${number} failed: ${status}`);
      process.exit(1);
    }
  });
  return {
    write() {
      for (let n = 0; n < count; n++) {
        connection.send($msg({ to: peer, type: 'chat' }).c('body').t(`<${n}> ü`));
      }
    },
  };
}

const users = [user(0), user(1)];
const available = new Set();
function ready(number) {
  if (available.has(number)) return;
  available.add(number);
  if (available.size === 2) users.forEach((one) => one.write());
}
