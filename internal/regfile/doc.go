// Package regfile reads regular files of a bounded size, so that a pipe, a device or a huge file in
// the place of a text stops no program.
package regfile
