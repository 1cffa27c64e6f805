package bus

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/packaging"
	"github.com/openeuler/syscare/state"
)

// signatures gives the types of what a method takes and returns on the bus.
func signatures(method any) (in, out string) {
	t := reflect.TypeOf(method)
	for i := range t.NumIn() {
		if t.In(i) != reflect.TypeFor[dbus.Message]() {
			in += dbus.SignatureOfType(t.In(i)).String()
		}
	}
	for i := range t.NumOut() {
		if t.Out(i) != reflect.TypeFor[*dbus.Error]() {
			out += dbus.SignatureOfType(t.Out(i)).String()
		}
	}
	return in, out
}

// What packaging/ says of the interfaces is what the code does.
func TestInterfaceIsAsDescribed(t *testing.T) {
	var node introspect.Node
	require.NoError(t, xml.Unmarshal([]byte(packaging.Interface), &node))
	s := &Service{}
	p := &patch{s: s}
	for i, row := range []struct {
		name       string
		methods    map[string]any
		properties map[string]any
	}{
		{ManagerInterface, s.methods(), map[string]any{"Version": ""}},
		{PatchInterface, p.methods(), patchProperties(state.Status{})},
	} {
		described := node.Interfaces[i]
		require.Equal(t, row.name, described.Name)
		want, got := map[string]string{}, map[string]string{}
		for _, m := range described.Methods {
			in, out := "", ""
			for _, a := range m.Args {
				if a.Direction == "in" {
					in += a.Type
				} else {
					out += a.Type
				}
			}
			want[m.Name] = in + " -> " + out
		}
		for name, m := range row.methods {
			in, out := signatures(m)
			got[name] = in + " -> " + out
		}
		for _, d := range described.Properties {
			want["property "+d.Name] = d.Type
			require.Equal(t, "read", d.Access)
		}
		for name, value := range row.properties {
			got["property "+name] = dbus.SignatureOf(value).String()
		}
		require.Equal(t, want, got)
	}
}

// An error keeps its kind and its words on the way over the bus.
func TestErrorsCrossTheBus(t *testing.T) {
	for _, row := range []struct {
		err  error
		name string
		kind error // on the other side
	}{
		{state.ErrNotFound, "NotFound", state.ErrNotFound},
		{state.ErrLocked, "Busy", state.ErrBusy},
		{&state.MoveError{Failures: []*state.ProcessError{{Err: state.ErrBusy}}}, "Busy", state.ErrBusy},
		{state.ErrConflict, "Conflict", state.ErrConflict},
		{state.ErrSuspended, "Refused", state.ErrState},
		{state.ErrInsecure, "Corrupt", state.ErrCorrupt},
		{fmt.Errorf("%w: %w", state.ErrState, state.ErrCorrupt), "Corrupt", state.ErrCorrupt},
		{state.ErrPermission, "NotAuthorized", state.ErrPermission},
		{context.Canceled, "Cancelled", context.Canceled},
		{errors.New("a disk is full \xff\x00"), "Failed", nil},
	} {
		sent := toBus(fmt.Errorf("patch HP001: %w", row.err))
		require.Equal(t, errorPrefix+row.name, sent.Name)
		got := fromBus(*sent)
		require.Contains(t, got.Error(), "patch HP001: ")
		if row.kind != nil {
			require.ErrorIs(t, got, row.kind)
		}
	}
	require.NoError(t, func() error {
		if err := toBus(nil); err != nil {
			return err
		}
		return nil
	}())
}

// A result is the same on the other side.
func TestResultsCrossTheBus(t *testing.T) {
	r := state.Result{
		UUID: "u", Name: "redis-1-1/HP001-1-1", Verb: state.VerbApply, From: state.NotApplied, To: state.Actived, Notes: []string{"a note"},
		Reports: []state.Report{{
			Process: state.Process{PID: 7, Name: "redis", Start: 99}, Entity: "redis-server", Functions: []string{"f", "g"}, Attempts: 2, Threads: 4,
			Pause: time.Millisecond, Parts: []state.PausePart{{Name: "write", Time: time.Microsecond}},
		}},
	}
	require.Equal(t, r, toMoved(r).result())
	r.Failures = []*state.ProcessError{{Process: state.Process{PID: 8}, Err: state.ErrBusy}}
	require.EqualError(t, toMoved(r).result().Failures[0].Err, state.ErrBusy.Error())
}

func FuzzOptions(f *testing.F) {
	f.Add("force", "b", []byte{1})
	f.Add("timeout", "t", []byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, name, kind string, data []byte) {
		var value any = string(data)
		switch {
		case kind == "b":
			value = len(data)%2 == 1
		case kind == "t" && len(data) > 0:
			value = uint64(data[0]) << (8 * (len(data) % 8))
		}
		o, err := options(dict{name: dbus.MakeVariant(value)})
		if err == nil {
			require.LessOrEqual(t, o.Timeout, maxTimeout)
			back, err := options(given(o))
			require.Nil(t, err)
			require.Equal(t, o, back)
		}
	})
}

func TestPathsOfPatches(t *testing.T) {
	const uuid = "980fa0d0-e753-447c-8494-000000000001"
	require.Equal(t, Path+"/patch/980fa0d0_e753_447c_8494_000000000001", PatchPath(uuid))
	require.True(t, PatchPath(uuid).IsValid())
}
