package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/bundle"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/ctl/output"
)

// BundledHost is what goes into a bundle.
type BundledHost interface {
	TopologySource
	ForwardingSource
	Patient
	EventSource
	// DefinedNetworks returns the VXLAN networks that Podman has.
	DefinedNetworks() ([]DefinedNetwork, error)
}

// bundleOptions are what the user typed, and where secrets and programs are, which tests replace.
type bundleOptions struct {
	output.Options
	all, anonymize bool
	file           string

	version   string
	configDir string
	config    config.Files
	environ   []string
	run       func(ctx context.Context, name string, args ...string) ([]byte, error)
}

func bundleCommand(host BundledHost, version string) *cobra.Command {
	opts := bundleOptions{
		version: version, configDir: filepath.Dir(config.Path), config: config.FilesAt(config.Path),
		environ: os.Environ(), run: runProgram,
	}
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "put all that is known into one file, without secrets",
		Long: `Bundle writes a compressed tar archive for those who help: what vxlanctl shows, the
devices, addresses, routes, forwarding entries, firewall rules and sockets of this
host, kernel parameters, Podman's VXLAN networks, versions, and the last 1,000 lines
of the agent's log. With --all it also has what the other hosts answer.

Key files and tokens are not in it, also where a program prints one. With --anonymize
names of hosts, networks and containers, addresses and MACs are replaced, each by the
same text in all files. A name that neither the agent nor Podman knows any more can
stay in the log. Read the archive before you hand it on.

It needs no agent and, as far as it can, no root. The file MISSING in the archive says
what could not be collected.`,
		Example: `  vxlanctl bundle
  vxlanctl bundle --all --anonymize -o report.tar.gz
  vxlanctl bundle -o - | tar -tzf -
  tar -tzf "$(vxlanctl bundle -q)"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
			defer stop()
			if err := opts.write(ctx, cmd, host); err != nil {
				return fmt.Errorf("bundle: %w", err)
			}
			return nil
		},
	}
	opts.AddActionFlags(cmd, "the archive's path")
	cmd.Flags().BoolVar(&opts.all, "all", false, "add what the other hosts answer")
	cmd.Flags().BoolVar(&opts.anonymize, "anonymize", false, "replace names, addresses and MACs")
	cmd.Flags().StringVarP(&opts.file, "output", "o", "",
		"write this `FILE`, which must not exist; - is the standard output")
	return cmd
}

func runProgram(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return out, err
}

// write makes the archive. An archive that could not be written whole is removed.
func (o bundleOptions) write(ctx context.Context, cmd *cobra.Command, host BundledHost) error {
	p, err := o.StreamOf(cmd, writtenBundle{})
	if err != nil {
		return err
	}
	now := time.Now()
	if o.file == "-" {
		if p.IsForScripts() {
			return usageError(errors.New("-o - prints the archive itself; leave out --format and --quiet"))
		}
		_, err := bundle.Write(ctx, output.Raw(cmd.OutOrStdout()), now, o.parts(host), o.filter(ctx, host))
		return err
	}
	path := o.file
	if path == "" {
		path = now.Format("vxlan-bundle-20060102-150405.tar.gz")
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists; name another file with -o, or remove it", path)
	}
	if err != nil {
		return err
	}
	parts := o.parts(host)
	missing, err := bundle.Write(ctx, file, now, parts, o.filter(ctx, host))
	if err = errors.Join(err, ctx.Err(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	written := writtenBundle{File: path, Parts: len(parts) - len(missing), Missing: len(missing)}
	return result{written, []string{path}, written.printText}.print(p)
}

// writtenBundle is an archive.
type writtenBundle struct {
	File    string `json:"file"`
	Parts   int    `json:"parts"`
	Missing int    `json:"missing"` // that could not be collected whole
}

func (w writtenBundle) printText(out io.Writer) error {
	text := fmt.Sprintf("%s: %s", w.File, output.Count(w.Parts, "part"))
	if w.Missing > 0 {
		text += fmt.Sprintf("; could not be collected whole: %d, see the file MISSING in it", w.Missing)
	}
	_, err := output.Fprintln(out, text)
	return err
}

// filter takes secrets out of a text, and with --anonymize what tells who the host is.
func (o bundleOptions) filter(ctx context.Context, host BundledHost) func(string) string {
	secrets := bundle.FindSecrets(o.secretFiles(), o.environ)
	if !o.anonymize {
		return secrets.Remove
	}
	names := bundle.NewAnonymizer()
	o.addNames(ctx, names, host)
	return func(text string) string { return names.Replace(secrets.Remove(text)) }
}

// secretFiles are the key file, and all that lies beside the configuration's files.
func (o bundleOptions) secretFiles() []string {
	files, _ := filepath.Glob(o.configDir + "/*") // it is no bad pattern
	var found []string
	for _, f := range files {
		if f != o.config.Path && f != o.config.ClusterPath {
			found = append(found, f)
		}
	}
	settings, _ := o.config.Settings() // what is wrong with it is a part of the archive
	for _, s := range settings {
		if s.Name == "key_file" || s.Name == "etcd.key" || s.Name == "etcd.password_file" {
			found = append(found, s.Value)
		}
	}
	return found
}

// addNames adds the names that this host knows.
func (o bundleOptions) addNames(ctx context.Context, names *bundle.Anonymizer, host BundledHost) {
	name, _ := os.Hostname() // it may have none
	names.AddName("host", name)
	all, _, _ := host.Inventory() // the archive says why there is none
	addInventoryNames(names, all)
	defined, _ := host.DefinedNetworks()
	for _, n := range defined {
		names.AddName("network", n.Name)
	}
	status, _ := host.Status()
	for _, c := range status.Clusters {
		names.AddName("cluster", c.Name)
		for _, h := range c.Hosts {
			names.AddName("host", h.Name)
			names.AddName("host", h.HostName)
		}
	}
	events, _ := host.Events(agentapi.EventsRequest{})
	names.AddName("host", events.Host)
	for _, e := range events.Events {
		names.AddName("host", e.Fields[agentapi.FieldHost])
		names.AddName("network", e.Fields[agentapi.FieldNetwork])
	}
	settings, _ := o.config.Settings()
	for _, s := range settings {
		if s.Name == "cluster" && s.Source != config.SourceDefault {
			names.AddName("cluster", s.Value)
		}
	}
	addPodmanNames(ctx, names, o.run)
}

func addInventoryNames(names *bundle.Anonymizer, all agentapi.Inventory) {
	for _, n := range all.Networks {
		names.AddName("network", n.Name)
		for _, h := range n.Hosts {
			names.AddName("host", h.Name)
		}
		for _, e := range n.Endpoints {
			names.AddName("container", e.Container)
			for _, alias := range e.Names {
				names.AddName("name", alias)
			}
		}
		for _, alias := range n.Names {
			names.AddName("name", alias.Name)
		}
	}
	for _, n := range all.Elsewhere {
		names.AddName("network", n.Name)
		for _, h := range n.Hosts {
			names.AddName("host", h)
		}
	}
}
