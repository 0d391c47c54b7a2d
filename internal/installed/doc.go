// Package installed says where the files of this program's installation are.
package installed
