package bus

import (
	"strings"

	"github.com/godbus/dbus/v5"
)

// Names on the bus.
const (
	Name             = "org.openeuler.SysCare1"
	Path             = dbus.ObjectPath("/org/openeuler/SysCare1")
	ManagerInterface = Name + ".Manager"
	PatchInterface   = Name + ".Patch"
	// ManageAction is what polkit is asked for.
	ManageAction = "org.openeuler.syscare1.manage"

	errorPrefix   = Name + ".Error."
	objectManager = "org.freedesktop.DBus.ObjectManager"
	properties    = "org.freedesktop.DBus.Properties"
	introspection = "org.freedesktop.DBus.Introspectable"
)

const patchesPath = Path + "/patch/"

// PatchPath is the object of the patch with that UUID.
func PatchPath(uuid string) dbus.ObjectPath {
	return patchesPath + dbus.ObjectPath(strings.ReplaceAll(uuid, "-", "_"))
}
