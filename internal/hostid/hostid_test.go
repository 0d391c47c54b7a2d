package hostid

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
)

var machine = Machine{MachineID: "0123456789abcdef0123456789abcdef", ProductUUID: "03000200-0400-0500-0006-000700080009"}

func newStore(t *testing.T) Store {
	t.Helper()
	dir := t.TempDir()
	return Store{Dir: filepath.Join(dir, "lib"), BootDir: filepath.Join(dir, "run"), Machine: machine}
}

// load returns the ID, and fails if the notes are not the expected one, of which it needs a part.
func load(t *testing.T, s Store, note string) cluster.HostID {
	t.Helper()
	id, notes := s.Load()
	if id.IsZero() {
		t.Fatal("no ID")
	}
	if note == "" && len(notes) > 0 || note != "" && !strings.Contains(strings.Join(notes, "\n"), note) {
		t.Errorf("notes %q, want %q", notes, note)
	}
	return id
}

// makeReadOnly makes a directory fail to be written, also for root: a file has its place.
func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestIDIsKept(t *testing.T) {
	s := newStore(t)
	id := load(t, s, "")
	if again := load(t, s, ""); again != id {
		t.Errorf("got %v, then %v", id, again)
	}
	info, err := os.Stat(filepath.Join(s.Dir, File))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	data, err := os.ReadFile(filepath.Join(s.Dir, File))
	if err != nil || strings.Contains(string(data), machine.MachineID) || strings.Contains(string(data), machine.ProductUUID) {
		t.Errorf("the file says what is confidential: %s, %v", data, err)
	}
	if other := load(t, newStore(t), ""); other == id {
		t.Error("two hosts have one ID")
	}
	if files, err := os.ReadDir(s.Dir); err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}

// A copy of a host that can be told from it gets an ID of its own.
func TestCopiedHostGetsItsOwnID(t *testing.T) {
	tests := []struct {
		name string
		then Machine // when the ID was made
		now  Machine
		note string // "": the ID is kept
	}{
		{"same machine", machine, machine, ""},
		{"another machine-id", machine, Machine{"f", machine.ProductUUID}, "another machine-id"},
		{"another UUID", machine, Machine{machine.MachineID, "f"}, "another product UUID"},
		{"nothing is known", machine, Machine{}, ""},
		{"nothing was known", Machine{}, machine, ""},
		{"only the UUID is known", machine, Machine{ProductUUID: machine.ProductUUID}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			s.Machine = tt.then
			id := load(t, s, "")
			s.Machine = tt.now
			now := load(t, s, tt.note)
			if kept := now == id; kept != (tt.note == "") {
				t.Errorf("kept: %v", kept)
			}
			if again := load(t, s, ""); again != now {
				t.Error("it changes each time")
			}
		})
	}
}

// An ID that is written before the machine has its own must not make it a copy of itself.
func TestMachineWithoutID(t *testing.T) {
	for line, want := range map[string]string{machine.MachineID: machine.MachineID, "": "", "uninitialized": "", "0123": "", machine.MachineID + "00": ""} {
		if got := machineID(line); got != want {
			t.Errorf("%q is the ID %q", line, got)
		}
	}
}

// What was not known when the ID was made is added, so that a later copy is noticed.
func TestMachineIsCompleted(t *testing.T) {
	s := newStore(t)
	s.Machine = Machine{MachineID: machine.MachineID}
	id := load(t, s, "")
	s.Machine = machine
	if load(t, s, "") != id {
		t.Error("the ID was not kept")
	}
	s.Machine.ProductUUID = "f"
	if load(t, s, "another product UUID") == id {
		t.Error("a copy keeps the ID")
	}
}

// A file that a power cut left empty or cut off must not stop a host.
func TestDamagedFileIsReplaced(t *testing.T) {
	for _, content := range []string{"", "id=", header, "id=1d00", "id=" + strings.Repeat("0", 32), "id=" + strings.Repeat("F", 32), "\x00\x00\x00"} {
		s := newStore(t)
		load(t, s, "")
		if err := os.WriteFile(filepath.Join(s.Dir, File), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		id := load(t, s, "is damaged: it has no ID; this host gets a new one")
		if load(t, s, "") != id {
			t.Errorf("%q: the new ID is not kept", content)
		}
	}
}

// Where nothing can be written that survives a boot, the ID lasts until the next one. That is said
// once a boot.
func TestReadOnlyDirectory(t *testing.T) {
	s := newStore(t)
	makeReadOnly(t, s.Dir)
	id := load(t, s, "make "+s.Dir+" writable for vxland")
	if load(t, s, "") != id {
		t.Error("a restarted agent has another ID")
	}
	if err := os.Remove(s.Dir); err != nil {
		t.Fatal(err)
	}
	if load(t, s, "") != id {
		t.Error("the ID is another one once it can be kept")
	}
	if err := os.RemoveAll(s.BootDir); err != nil { // a boot
		t.Fatal(err)
	}
	if load(t, s, "") != id {
		t.Error("the ID was not kept for good")
	}
}

func TestNothingCanBeWritten(t *testing.T) {
	s := newStore(t)
	makeReadOnly(t, s.Dir)
	makeReadOnly(t, s.BootDir)
	load(t, s, "keep the host's ID until the next boot")
	if err := s.Renew(); err == nil {
		t.Error("an ID that is not kept was renewed")
	}
}

func TestRenewedIDIsKept(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		s := newStore(t)
		id := load(t, s, "")
		if readOnly {
			if err := os.RemoveAll(s.Dir); err != nil {
				t.Fatal(err)
			}
			makeReadOnly(t, s.Dir)
		}
		if err := s.Renew(); err != nil {
			t.Fatal(err)
		}
		renewed := load(t, s, "")
		if renewed == id || load(t, s, "") != renewed {
			t.Errorf("read-only %v: %v, then %v", readOnly, id, renewed)
		}
	}
}
