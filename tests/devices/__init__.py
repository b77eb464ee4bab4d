"""Real devices for the tests, one module per protocol; what every one of them must do is `devices.base.Device`."""

from collections.abc import Callable

from devices.base import Device
from devices.folder import FolderDevice
from devices.http import HttpDevice
from devices.modbus import ModbusDevice
from devices.mqtt import MqttDevice
from devices.mtconnect import MtconnectDevice
from devices.opcua import OpcUaDevice
from devices.shdr import ShdrDevice
from devices.sparkplug import SparkplugDevice

DEVICES: dict[str, Callable[[int], Device]] = {
    "folder": FolderDevice,
    "http": HttpDevice,
    "opcua": OpcUaDevice,
    "modbus": ModbusDevice,
    "mqtt": MqttDevice,
    "mtconnect": MtconnectDevice,
    "shdr": ShdrDevice,
    "sparkplug": SparkplugDevice,
}
SERVERS = ("mqtt", "sparkplug")
"""Those that need a program of infra/scripts."""
