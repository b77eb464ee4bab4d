// A Modbus device (jsmodbus') for the tests; started by tests/devices/modbus_servers.py.
// Arguments: port, framing ("tcp", or "rtu" for RTU frames over TCP), registers (and bits) it has in each area. A read
// beyond them it answers as jsmodbus does: with fewer values than asked, or none, and no exception.
// Each line on its input is a command, answered with "ok": "put UNIT AREA ADDRESS VALUE..." (all units are one).
const net = require("node:net");
const readline = require("node:readline");
const modbus = require("jsmodbus");

const [port, framing, registers] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const areas = { holding: Buffer.alloc(2 * registers), input: Buffer.alloc(2 * registers),
    coils: Buffer.alloc(Math.ceil(registers / 8)), discrete: Buffer.alloc(Math.ceil(registers / 8)) };

function put(area, address, values) {
    const buffer = areas[area === "coil" ? "coils" : area];
    values.forEach((value, k) => {
        const at = address + k;
        if (area === "holding" || area === "input") buffer.writeUInt16BE(value, 2 * at);
        else if (value) buffer[at >> 3] |= 1 << (at & 7);
        else buffer[at >> 3] &= ~(1 << (at & 7));
    });
}

const server = net.createServer({ noDelay: true });
if (framing === "rtu") server.on("connection", (socket) => new modbus.server.RTU(socket, areas));
else new modbus.server.TCP(server, areas);
server.on("connection", (socket) => socket.on("error", () => {}));
server.listen(port, "127.0.0.1", () => console.log("ok"));

const commands = readline.createInterface({ input: process.stdin });
commands.on("line", (line) => {
    const [, , area, address, ...values] = line.split(" ");
    put(area, Number(address), values.map(Number));
    console.log("ok");
});
commands.on("close", () => process.exit(0));
