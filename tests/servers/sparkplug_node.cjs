// A Sparkplug B edge node with one device (Eclipse Tahu's sparkplug-client); started by tests/devices/sparkplug.py.
// Options: one JSON object as the first argument. It writes {"event": ...} lines, and takes one JSON object a line on its
// input, answered by {"event": "done"}: {"data": {name: value}, "time": ms, "historical": bool, "compress": bool},
// {"node": {name: value}, "time": ms}, {"skip": n} (sequence numbers left out), {"death": "device" | "node"},
// {"birth": true}, {"raw": base64, "kind": "DDATA"}. It ends when its input does.
const readline = require("node:readline");
const SparkplugClient = require("sparkplug-client");

const options = JSON.parse(process.argv[2]);
const say = (said) => process.stdout.write(JSON.stringify(said) + "\n");
// name -> {type, value, alias, time, node}
const metrics = new Map();
let alias = 100;
for (const [name, type, value, ofNode] of options.metrics) {
    metrics.set(name, { type, value, alias: alias++, time: Date.now(), node: Boolean(ofNode) });
}
const client = SparkplugClient.newClient({
    serverUrl: `mqtt://127.0.0.1:${options.port}`, username: options.user, password: options.password,
    groupId: options.group, edgeNode: options.node, clientId: `node-${process.pid}`, publishDeath: true, version: "spBv1.0",
    keepalive: 2, mqttOptions: { reconnectPeriod: 200 },
});

function born(ofNode) {
    return [...metrics].filter(([, m]) => m.node === ofNode).map(([name, m]) => {
        const isNull = m.value === null;
        return { name, alias: m.alias, type: m.type, value: m.value, timestamp: m.time, isNull };
    });
}

function births() {
    const control = { name: "Node Control/Rebirth", type: "Boolean", value: false, timestamp: Date.now() };
    client.publishNodeBirth({ timestamp: Date.now(), metrics: [control, ...born(true)] });
    client.publishDeviceBirth(options.device, { timestamp: Date.now(), metrics: born(false) });
    say({ event: "birth" });
}

client.on("birth", births);
client.on("error", (error) => say({ event: "error", message: String(error) }));
client.on("ncmd", (payload) => {
    if ((payload.metrics || []).some((m) => m.name === "Node Control/Rebirth" && m.value === true)) {
        say({ event: "rebirth" });
        births();
    }
});

function data(said, ofNode) {
    const given = ofNode ? said.node : said.data;
    const changed = Object.entries(given).map(([name, value]) => {
        const m = metrics.get(name);
        Object.assign(m, { value, time: said.time });
        // Only the alias travels, as the specification recommends.
        return { alias: m.alias, type: m.type, value, timestamp: said.time, isHistorical: Boolean(said.historical) };
    });
    const payload = { timestamp: Date.now(), metrics: changed };
    const how = said.compress ? { compress: true, algorithm: "GZIP" } : undefined;
    if (ofNode) client.publishNodeData(payload, how);
    else client.publishDeviceData(options.device, payload, how);
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const said = JSON.parse(line);
    if (said.data) data(said, false);
    if (said.node) data(said, true);
    for (let n = 0; n < (said.skip || 0); n++) client.incrementSeqNum();
    if (said.death === "device") client.publishDeviceDeath(options.device, { timestamp: Date.now(), metrics: [] });
    if (said.death === "node") client.stop();
    if (said.birth) births();
    if (said.raw) {
        client.client.publish(`spBv1.0/${options.group}/${said.kind}/${options.node}/${options.device}`,
            Buffer.from(said.raw, "base64"));
    }
    say({ event: "done" });
}).on("close", () => process.exit(0));
