package bus

import (
	"maps"
	"reflect"
	"sync"

	"github.com/godbus/dbus/v5"
)

// Errors of the standard interface of properties.
const (
	unknownInterface = "org.freedesktop.DBus.Error.UnknownInterface"
	unknownProperty  = "org.freedesktop.DBus.Error.UnknownProperty"
	propertyReadOnly = "org.freedesktop.DBus.Error.PropertyReadOnly"
)

// propertySet is the properties of one interface of an object, all of them to be
// read only. (Package prop of the library ends the program when the bus goes away,
// and tells of each change alone.)
type propertySet struct {
	conn   *dbus.Conn
	path   dbus.ObjectPath
	iface  string
	mu     sync.Mutex
	values dict
}

// exportProperties puts properties on the bus.
func exportProperties(conn *dbus.Conn, path dbus.ObjectPath, iface string, values map[string]any) (*propertySet, error) {
	p := &propertySet{conn: conn, path: path, iface: iface, values: dict{}}
	for name, value := range values {
		p.values[name] = dbus.MakeVariant(value)
	}
	return p, conn.ExportMethodTable(map[string]any{"Get": p.get, "GetAll": p.getAll, "Set": p.set}, path, properties)
}

func (p *propertySet) get(iface, name string) (dbus.Variant, *dbus.Error) {
	all, err := p.getAll(iface)
	if err != nil {
		return dbus.Variant{}, err
	}
	value, ok := all[name]
	if !ok {
		return dbus.Variant{}, &dbus.Error{Name: unknownProperty, Body: []any{"there is no such property"}}
	}
	return value, nil
}

func (p *propertySet) getAll(iface string) (dict, *dbus.Error) {
	if iface != p.iface && iface != "" {
		return nil, &dbus.Error{Name: unknownInterface, Body: []any{"there is no such interface, or it has no properties"}}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.values), nil
}

func (p *propertySet) set(string, string, dbus.Variant) *dbus.Error {
	return &dbus.Error{Name: propertyReadOnly, Body: []any{"properties of patches are to be read only; call a method"}}
}

// update changes values, and tells the bus of all that are others now.
func (p *propertySet) update(values map[string]any) error {
	changed := dict{}
	p.mu.Lock()
	for name, value := range values {
		if !reflect.DeepEqual(p.values[name].Value(), value) {
			p.values[name] = dbus.MakeVariant(value)
			changed[name] = p.values[name]
		}
	}
	p.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	return p.conn.Emit(p.path, properties+".PropertiesChanged", p.iface, changed, []string{})
}

// all is what GetManagedObjects says of the object.
func (p *propertySet) all() map[string]dict {
	values, _ := p.getAll(p.iface)
	return map[string]dict{p.iface: values}
}
