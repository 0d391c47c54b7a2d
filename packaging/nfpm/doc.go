// Command nfpm makes the deb, rpm and Arch Linux packages of the driver, a bill of materials for each
// architecture, and SHA256SUMS. `make packages` runs it.
//
// packaging/install.sh puts the files into a directory as it does on a host, and whatever is there
// goes into the package. The same input gives the same bytes. The command is a module of its own,
// since nfpm needs forty modules that the driver does not.
package main
