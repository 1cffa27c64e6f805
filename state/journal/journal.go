// Package journal sends log records to the systemd journal with fields, so that
// `journalctl SYSCARE_PATCH=…` tells the story of a patch.
//
// Each attribute of a record becomes a field SYSCARE_NAME, the whole of it the
// MESSAGE. The records of state.Manager have SYSCARE_PATCH (full name),
// SYSCARE_UUID, SYSCARE_VERB, SYSCARE_FROM, SYSCARE_TO, SYSCARE_PIDS, SYSCARE_WHO,
// SYSCARE_DURATION, SYSCARE_ERROR and SYSCARE_RESULT, which is done or failed, and
// one of the message IDs below. Protocol: systemd's Native Journal Protocol.
//
// It may import go-systemd, and nothing of SysCare.
package journal

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// The message IDs, by message.
var ids = map[string]string{
	"patch moved":     "6b9be0b0f5d14f6e8b7b7a3f0e2c5d11",
	"patch not moved": "6b9be0b0f5d14f6e8b7b7a3f0e2c5d12",
	"patch suspended": "6b9be0b0f5d14f6e8b7b7a3f0e2c5d13",
	"process patched": "6b9be0b0f5d14f6e8b7b7a3f0e2c5d14",
	"patch retired":   "6b9be0b0f5d14f6e8b7b7a3f0e2c5d15",
}

// level is what goes to the journal: all that has changed.
const level = slog.LevelInfo

// handler passes records on, and sends them to the journal.
type handler struct {
	slog.Handler
	fields map[string]string
}

// New returns a handler that passes records on to next and sends those of level
// Info and above to the journal as well. Without a journal it is next.
func New(next slog.Handler) slog.Handler {
	if !journal.Enabled() {
		return next
	}
	return &handler{next, map[string]string{}}
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= level || h.Handler.Enabled(ctx, l)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	var err error
	if h.Handler.Enabled(ctx, r.Level) {
		err = h.Handler.Handle(ctx, r)
	}
	if r.Level < level {
		return err
	}
	fields := map[string]string{"SYSLOG_IDENTIFIER": "syscare", "SYSCARE_RESULT": "done"}
	for name, value := range h.fields {
		fields[name] = value
	}
	r.Attrs(func(a slog.Attr) bool {
		add(fields, a)
		return true
	})
	if _, failed := fields["SYSCARE_ERROR"]; failed {
		fields["SYSCARE_RESULT"] = "failed"
	}
	if id := ids[r.Message]; id != "" {
		fields["MESSAGE_ID"] = id
	}
	_ = journal.Send(text(r.Message, fields), priority(r.Level), fields) // it may be full; the record was passed on
	return err
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := map[string]string{}
	for name, value := range h.fields {
		fields[name] = value
	}
	for _, a := range attrs {
		add(fields, a)
	}
	return &handler{h.Handler.WithAttrs(attrs), fields}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.fields}
}

// add makes a field of an attribute. Names of fields are capital letters, digits
// and underscores.
func add(fields map[string]string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindAny && value.Any() == nil || a.Key == "" {
		return
	}
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, a.Key)
	fields["SYSCARE_"+name] = value.String()
}

// text is the message for people.
func text(message string, fields map[string]string) string {
	name := fields["SYSCARE_PATCH"]
	switch {
	case name != "" && fields["SYSCARE_VERB"] != "":
		message = fmt.Sprintf("%s: %s: %s to %s by %s", message, name, fields["SYSCARE_FROM"], fields["SYSCARE_TO"], fields["SYSCARE_WHO"])
	case name != "":
		message += ": " + name
	}
	for _, field := range []string{"SYSCARE_REASON", "SYSCARE_ERROR"} {
		if fields[field] != "" {
			message += ": " + fields[field]
		}
	}
	return message
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	}
	return journal.PriInfo
}
