package bpfpath

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestObjectIsOfSource compiles the programs again. The compiler must be the one that generate.go
// names: another one's object differs.
func TestObjectIsOfSource(t *testing.T) {
	for _, tool := range []string{"clang-14", "llvm-strip-14"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("no %s; lab/deps.sh installs it", tool)
			}
			t.Skipf("no %s", tool)
		}
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(filepath.Join(dir, "programs"), os.DirFS("programs")); err != nil {
		t.Fatal(err)
	}
	object := filepath.Join(dir, "object.o")
	// As bpf2go calls it.
	compile := exec.Command("clang-14", "-O2", "-Wall", "-Wextra", "-Werror", "-Wunused-command-line-argument", "-fno-ident",
		"-fdebug-compilation-dir", ".", "-target", "bpfel", "-g", "-mcpu=v3", "-c", "programs/fastpath.c", "-o", object)
	compile.Dir = dir
	for _, c := range []*exec.Cmd{compile, exec.Command("llvm-strip-14", "-g", object)} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	made, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, _ProgramsBytes) {
		t.Error("programs_bpfel_generated.o is not what programs/ compiles to; run go generate in this directory")
	}
}
