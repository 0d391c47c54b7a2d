package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/diagnosis"
)

// journald listens at a path as systemd's does.
func journald(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// receive returns the fields of the next entry, read as journald reads them.
func receive(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	buf := make([]byte, 64<<10)
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for data := buf[:n]; len(data) > 0; {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			t.Fatalf("an entry ends in %q", data)
		}
		name, value, isLine := strings.Cut(string(line), "=")
		if !isLine {
			length := binary.LittleEndian.Uint64(rest)
			value, rest = string(rest[8:8+length]), rest[8+length:]
			if rest[0] != '\n' {
				t.Fatalf("%s ends in %q", name, rest)
			}
			rest = rest[1:]
		}
		fields[name], data = value, rest
	}
	return fields
}

func TestRecordsBecomeEntries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conn := journald(t, path)
	var fallback bytes.Buffer
	log := slog.New(NewHandler(path, &fallback, slog.LevelInfo))
	id := func(text string) string { return diagnosis.Code(text).MessageID() }
	for _, tt := range []struct {
		name  string
		write func()
		want  map[string]string
	}{
		{"plain", func() { log.Info("vxland started", "version", "1.0") }, map[string]string{
			"MESSAGE": `level=INFO msg="vxland started" version=1.0`, "PRIORITY": "6", "VXLAN_VERSION": "1.0",
		}},
		{"event", func() {
			log.Warn("host unreachable", "event", "host-unreachable", "host", "b (198.18.0.2)", "host_id", "")
		}, map[string]string{
			"MESSAGE":  `level=WARN msg="host unreachable" event=host-unreachable host="b (198.18.0.2)" host_id=""`,
			"PRIORITY": "4", "VXLAN_EVENT": "host-unreachable", "VXLAN_HOST": "b (198.18.0.2)", "MESSAGE_ID": id("host-unreachable"),
		}},
		{"code", func() { log.Error("x", "event", "repaired", "code", "VX0501") }, map[string]string{
			"MESSAGE": "level=ERROR msg=x event=repaired code=VX0501", "PRIORITY": "3",
			"VXLAN_EVENT": "repaired", "VXLAN_CODE": "VX0501", "MESSAGE_ID": id("VX0501"),
		}},
		{"lines and odd keys", func() { log.Info("x", "err", errors.New("a\nb=c"), "keeps the old-one", 7) }, map[string]string{
			"MESSAGE": `level=INFO msg=x err="a\nb=c" "keeps the old-one"=7`, "PRIORITY": "6",
			"VXLAN_ERR": "a\nb=c", "VXLAN_KEEPS_THE_OLD_ONE": "7",
		}},
		{"derived", func() { log.With("address", "::1").WithGroup("g").With("a", 1).Info("x", "b", 2) }, map[string]string{
			"MESSAGE": "level=INFO msg=x address=::1 g.a=1 g.b=2", "PRIORITY": "6", "VXLAN_ADDRESS": "::1", "VXLAN_G_A": "1", "VXLAN_G_B": "2",
		}},
	} {
		log.Debug("not wanted")
		tt.write()
		tt.want["SYSLOG_IDENTIFIER"] = "vxland"
		if got := receive(t, conn); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
	if fallback.Len() > 0 {
		t.Errorf("fell back: %s", fallback.String())
	}
}

// A journal that restarts takes what comes then. Meanwhile, and for what is too long, the log goes
// to where it would go without a journal.
func TestJournalThatRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	var fallback bytes.Buffer
	log := slog.New(NewHandler(path, &fallback, slog.LevelInfo))
	log.Info("before")
	conn := journald(t, path)
	log.Info("first")
	if got := receive(t, conn)["MESSAGE"]; got != "level=INFO msg=first" {
		t.Errorf("got %q", got)
	}
	conn.Close()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	log.Info("between")
	conn = journald(t, path)
	log.Info("second")
	if got := receive(t, conn)["MESSAGE"]; got != "level=INFO msg=second" {
		t.Errorf("got %q", got)
	}
	log.Info("long", "text", strings.Repeat("x", 1<<20))
	got := strings.Split(strings.TrimSpace(fallback.String()), "\n")
	if len(got) != 3 || got[0] != "level=INFO msg=before" || got[1] != "level=INFO msg=between" || !strings.HasPrefix(got[2], "level=INFO msg=long") {
		t.Errorf("fell back with %.200q", got)
	}
}

func TestIsStream(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{
		"": false, "0:0": false, fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false,
	} {
		t.Setenv("JOURNAL_STREAM", value)
		if got := IsStream(f); got != want {
			t.Errorf("%q: got %v", value, got)
		}
	}
}
