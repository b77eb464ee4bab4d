// An OPC UA server (node-opcua's) for the tests and benchmarks; started by tests/devices/opcua_servers.py.
// Options: one JSON object as the first argument (see ServerOptions there). It writes one line of JSON when it serves,
// and takes one JSON object a line on its input: {"put": {"m.state": 6, "m.order": "0042"}, "time": milliseconds,
// "status": "Good"}, answered by a line {"done": true}; {"close_sessions": true} ends all sessions and what they subscribed,
// as an administrator would. It ends when its input does.
const path = require("node:path");
const readline = require("node:readline");
const {
    DataType, DataValue, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy, StatusCodes,
    Variant, VariantArrayType,
} = require("node-opcua");

const options = JSON.parse(process.argv[2]);
const MODES = { None: MessageSecurityMode.None, Sign: MessageSecurityMode.Sign,
    SignAndEncrypt: MessageSecurityMode.SignAndEncrypt };

// The value of a simulated variable at its k-th writing; tests/devices/opcua_servers.py says the same.
const VALUES = {
    Double: (k) => k, Float: (k) => k % 16777216, Int32: (k) => k % 2147483648, UInt32: (k) => k % 4294967296,
    Int16: (k) => k % 32768, UInt16: (k) => k % 65536, SByte: (k) => k % 128, Byte: (k) => k % 256,
    Int64: (k) => [0, k], UInt64: (k) => [0, k], Boolean: (k) => k % 2 === 1, String: (k) => `v${k}`,
    LocalizedText: (k) => ({ text: `v${k}` }), DateTime: (k) => new Date(k * 1000),
};

function variant(type, value) {
    if (type === "Double[]") {
        return new Variant({ dataType: DataType.Double, arrayType: VariantArrayType.Array,
            value: Float64Array.of(value, value + 1) });
    }
    return new Variant({ arrayType: VariantArrayType.Scalar, dataType: DataType[type], value });
}

const made = (type, k) => variant(type, type === "Double[]" ? k : VALUES[type](k));

async function main() {
    const certificates = new OPCUACertificateManager({
        rootFolder: path.join(options.folder, "pki"),
        automaticallyAcceptUnknownCertificate: options.trust_everybody,
        disableFileWatchers: true,
    });
    const users = new OPCUACertificateManager({
        rootFolder: path.join(options.folder, "users"),
        automaticallyAcceptUnknownCertificate: options.trust_everybody,
        disableFileWatchers: true,
    });
    await certificates.initialize();
    await users.initialize();
    const server = new OPCUAServer({
        port: options.port,
        hostname: "127.0.0.1",
        host: "127.0.0.1",
        serverInfo: { applicationUri: "urn:127.0.0.1:lineside:node-opcua" },
        securityPolicies: [...new Set(options.security.map(([policy]) => SecurityPolicy[policy]))],
        securityModes: [...new Set(options.security.map(([, mode]) => MODES[mode]))],
        allowAnonymous: options.user === null,
        userManager: {
            isValidUser: (name, password) => name === options.user && password === options.password,
        },
        serverCertificateManager: certificates,
        userCertificateManager: users,
        maxConnectionsPerEndpoint: 50,
        serverCapabilities: {
            maxSessions: 50,
            maxSubscriptionsPerSession: 50,
            maxSubscriptions: 200,
            maxMonitoredItemsPerSubscription: options.items_per_subscription,
            maxMonitoredItems: 1000000,
            maxMonitoredItemsQueueSize: options.queue_size,
            minSupportedSampleRate: 0, // changes closer than this would become one
        },
    });
    await server.initialize();
    const space = server.engine.addressSpace;
    const namespace = space.registerNamespace(options.namespace);
    const nodes = new Map();
    const add = (name, type, first) => {
        const array = type.endsWith("[]");
        const node = namespace.addVariable({
            organizedBy: space.rootFolder.objects,
            nodeId: `s=${name}`,
            browseName: name,
            dataType: type.replace("[]", ""),
            valueRank: array ? 1 : -1,
            minimumSamplingInterval: options.sampling,
        });
        node.setValueFromSource(first, StatusCodes.Good, new Date());
        if (options.history > 0) {
            space.installHistoricalDataNode(node, { maxOnlineValues: options.history });
        }
        nodes.set(name, { node, type });
        return node;
    };
    add("m.state", "Int32", variant("Int32", 0));
    add("m.order", "String", variant("String", ""));
    const simulated = [];
    for (let i = 0; i < options.variables; i += 1) {
        const type = options.types[i % options.types.length];
        simulated.push({ node: add(`v${i}`, type, made(type, 0)), type });
    }
    await server.start();

    if (options.rate > 0 && simulated.length > 0) {
        // The k-th writing has the time start + k / rate; a late one is written at once with its own time.
        const start = Date.now();
        let k = 0;
        let busy = false;
        const write = async () => {
            if (busy) {
                return;
            }
            busy = true;
            const due = Math.floor(((Date.now() - start) * options.rate) / 1000);
            for (; k < due; k += 1) {
                const time = new Date(start + ((k + 1) * 1000) / options.rate);
                for (const { node, type } of simulated) {
                    node.setValueFromSource(made(type, k + 1), StatusCodes.Good, time);
                }
                // A monitored item sees only the last of what is written in one turn.
                await new Promise((resolve) => setImmediate(resolve));
            }
            busy = false;
        };
        setInterval(write, Math.max(1, Math.floor(1000 / options.rate / 2)));
    }

    const input = readline.createInterface({ input: process.stdin });
    input.on("line", (line) => {
        const said = JSON.parse(line);
        for (const session of said.close_sessions ? Object.values(server.engine._sessions) : []) {
            server.engine.closeSession(session.authenticationToken, true, "Terminated");
        }
        for (const [name, value] of Object.entries(said.put || {})) {
            const { node, type } = nodes.get(name);
            const time = new Date(said.time);
            node.setValueFromSource(variant(type, value), StatusCodes[said.status || "Good"], time);
        }
        process.stdout.write(`${JSON.stringify({ done: true })}\n`);
    });
    const stop = async () => {
        await server.shutdown(100);
        process.exit(0);
    };
    input.on("close", stop);
    process.on("SIGTERM", stop);
    process.stdout.write(`${JSON.stringify({ port: options.port, certificate: server.certificateFile })}\n`);
}

main().catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
});
