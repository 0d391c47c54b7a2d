package installed

// prefix is the directory below which the files are. The Makefile sets it (-ldflags -X): to /usr for
// packages, and to PREFIX otherwise.
var prefix = "/usr/local"

// Path returns where a file is that packaging/files places below PREFIX, such as "bin/vxlanctl".
func Path(name string) string { return prefix + "/" + name }

// Page returns where a page for administrators is, such as "install.md"; of "" the directory, with a
// slash at its end.
func Page(name string) string { return Path("share/doc/vxlan-driver/docs/user/" + name) }
