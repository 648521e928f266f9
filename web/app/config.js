// What hosting says of this installation, in /console.json:
//
//   {"sign_in": "firebase"}                                          in the cloud; the project is in /__/firebase/init.json
//   {"sign_in": "key", "project", "user_id", "simulator": "/simulator"}  a local run; `simulator` in the demo only
export let config = null;

export async function loadConfig() {
  config = await json('/console.json');
  if (config.sign_in === 'firebase') config.firebase = await json('/__/firebase/init.json');
}

async function json(path) {
  const response = await fetch(path, { cache: 'no-store' });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}
