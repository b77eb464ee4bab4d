// A plant floor nobody has described to us: an OPC UA server (node-opcua's) with a machine that follows PackML, a
// machine tool that follows Machinery and Machine Tools, and a German press that follows nothing. Started by
// tests/devices/foreign.py with {"port", "folder"} as the first argument; writes one line of JSON when it serves.
const path = require("node:path");
const {
    DataType, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy, StatusCodes, Variant,
    VariantArrayType, coerceLocalizedText, nodesets,
} = require("node-opcua");

const options = JSON.parse(process.argv[2]);

function find(node, ...names) {
    let at = node;
    for (const name of names) {
        const next = at.getChildByName(name);
        if (!next) throw new Error(`${at.browseName.toString()} has no ${name}`);
        at = next;
    }
    return at;
}

const set = (node, dataType, value) => node.setValueFromSource(new Variant({ dataType, value }), StatusCodes.Good);

async function main() {
    const certificates = new OPCUACertificateManager({
        rootFolder: path.join(options.folder, "pki"), disableFileWatchers: true,
    });
    await certificates.initialize();
    const server = new OPCUAServer({
        port: options.port,
        hostname: "127.0.0.1",
        host: "127.0.0.1",
        serverInfo: { applicationUri: "urn:foreign:floor", applicationName: { text: "Floor gateway" } },
        buildInfo: { manufacturerName: "Foreign Works", productName: "Gateway", softwareVersion: "7.1" },
        securityPolicies: [SecurityPolicy.None],
        securityModes: [MessageSecurityMode.None],
        serverCertificateManager: certificates,
        nodeset_filename: [
            nodesets.standard, nodesets.di, nodesets.ia, nodesets.machinery, nodesets.isa95JobControl,
            nodesets.machineryJobs, nodesets.machineTool, nodesets.packML,
        ].filter(Boolean),
    });
    await server.initialize();
    const space = server.engine.addressSpace;
    const own = space.registerNamespace("http://foreign.example/floor");
    const uri = (name) => space.getNamespaceIndex(`http://opcfoundation.org/UA/${name}/`);

    // A filler as PackML wants it; its counts are arrays of structures, so the maker added plain ones.
    const filler = space.findObjectType("PackMLBaseObjectType", uri("PackML")).instantiate({
        browseName: "Filler 7", organizedBy: space.rootFolder.objects, namespace: own,
        optionals: ["Admin.MachDesignSpeed", "Admin.ProdProcessedCount", "Admin.ProdDefectiveCount"],
    });
    const outer = find(filler, "BaseStateMachine", "CurrentState");
    const status = find(filler, "Status");
    const state = own.addVariable({ componentOf: status, browseName: "StateCurrent", dataType: "Int32" });
    set(state, DataType.Int32, 6);
    set(outer, DataType.LocalizedText, coerceLocalizedText("Cleared"));
    const bottles = own.addVariable({ componentOf: find(filler, "Admin"), browseName: "BottleCount", dataType: "UInt32" });
    const rejects = own.addVariable({ componentOf: find(filler, "Admin"), browseName: "RejectCount", dataType: "UInt32" });
    set(find(filler, "Admin", "MachDesignSpeed"), DataType.Float, 600);

    // A machine tool.
    const machines = space.rootFolder.objects.getFolderElementByName("Machines", uri("Machinery"))
        || space.rootFolder.objects;
    const mill = space.findObjectType("MachineToolType", uri("MachineTool")).instantiate({
        browseName: "Mill 4", organizedBy: machines, namespace: own,
        optionals: ["Production.Statistics.PartsProducedInLifetime"],
    });
    const program = find(mill, "Production", "ActiveProgram", "State", "CurrentState");
    const number = find(program, "Number");
    set(program, DataType.LocalizedText, coerceLocalizedText("Running"));
    set(number, DataType.UInt32, 1);
    const statistics = find(mill, "Production").getChildByName("Statistics");
    const parts = statistics && statistics.getChildByName("PartsProducedInLifetime");

    // A press that follows nothing, with arrays, structures and a loop in its references.
    const plc = own.addFolder(space.rootFolder.objects, { browseName: "SPS_1" });
    const press = own.addObject({ organizedBy: plc, browseName: "Presse 3" });
    const zustand = own.addMultiStateDiscrete({
        componentOf: press, browseName: "Zustand", enumStrings: ["Aus", "Produktion", "Störung", "Rüsten"], value: 1,
    });
    const counts = own.addObject({ componentOf: press, browseName: "Zähler" });
    const gut = own.addVariable({ componentOf: counts, browseName: "Gutteile", dataType: "UInt32" });
    const soll = own.addVariable({ componentOf: counts, browseName: "Sollmenge", dataType: "UInt32" });
    const oil = own.addAnalogDataItem({
        componentOf: press, browseName: "Öltemperatur", dataType: "Double", definition: "",
        engineeringUnitsRange: { low: 0, high: 100 }, value: { dataType: DataType.Double, value: 45 },
        engineeringUnits: require("node-opcua").standardUnits.degree_celsius,
    });
    const wave = own.addVariable({ componentOf: press, browseName: "Verlauf", dataType: "Double", valueRank: 1 });
    wave.setValueFromSource(new Variant({ dataType: DataType.Double, arrayType: VariantArrayType.Array,
        value: Float64Array.of(1, 2, 3) }));
    counts.addReference({ referenceType: "Organizes", nodeId: plc });
    set(soll, DataType.UInt32, 5000);

    await server.start();
    const began = Date.now();
    const tick = () => {
        const tenths = Math.floor((Date.now() - began) / 100);
        const stopped = tenths % 60 >= 45; // each machine runs 4.5 s and stands 1.5 s
        const made = Math.floor(tenths / 60) * 45 + Math.min(tenths % 60, 45);
        set(state, DataType.Int32, stopped ? 11 : 6);
        set(bottles, DataType.UInt32, 100000 + made);
        set(rejects, DataType.UInt32, 50 + Math.floor(made / 20));
        set(program, DataType.LocalizedText, coerceLocalizedText(stopped ? "Interrupted" : "Running"));
        set(number, DataType.UInt32, stopped ? 3 : 1);
        if (parts) set(parts, DataType.UInt32, 900 + Math.floor(made / 3));
        zustand.setValueFromSource(new Variant({ dataType: DataType.UInt32, value: stopped ? 2 : 1 }));
        set(gut, DataType.UInt32, 7000 + Math.floor(made / 2));
        set(oil, DataType.Double, 45 + Math.sin(tenths / 7));
    };
    tick();
    setInterval(tick, 100);
    const stop = async () => { await server.shutdown(100); process.exit(0); };
    process.stdin.on("end", stop);
    process.stdin.resume();
    process.on("SIGTERM", stop);
    process.stdout.write(`${JSON.stringify({ port: options.port })}\n`);
}

main().catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
});
