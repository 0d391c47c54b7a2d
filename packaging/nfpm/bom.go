package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// packageName is the package's name in all formats.
const packageName = "vxlan-driver"

// writeBOM writes the bill of materials of an architecture, in CycloneDX.
func (b build) writeBOM(arch string, modules []module) error {
	file, err := os.Create(filepath.Join(b.out, fmt.Sprintf("%s_%s_%s.cdx.json", packageName, b.version, arch)))
	if err != nil {
		return err
	}
	defer file.Close()
	bom, err := b.newBOM(arch, modules)
	if err != nil {
		return err
	}
	encoder := cdx.NewBOMEncoder(file, cdx.BOMFileFormatJSON).SetPretty(true)
	if err := encoder.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("encode bill of materials: %w", err)
	}
	return file.Close()
}

// newBOM lists programs and modules, and which program contains which module. It has no serial
// number, which would have to be random.
func (b build) newBOM(arch string, modules []module) (*cdx.BOM, error) {
	bom := cdx.NewBOM()
	self := cdx.Component{BOMRef: packageName, Type: cdx.ComponentTypeApplication, Name: packageName, Version: b.version,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}}
	bom.Metadata = &cdx.Metadata{Timestamp: b.date.Format(time.RFC3339), Component: &self}
	components, uses := []cdx.Component{}, make(map[string][]string)
	for _, m := range modules {
		c, err := m.component()
		if err != nil {
			return nil, err
		}
		components = append(components, c)
		for _, program := range m.Users {
			uses[program] = append(uses[program], c.BOMRef)
		}
	}
	dependencies := []cdx.Dependency{{Ref: packageName, Dependencies: &programs}}
	for _, program := range programs {
		sum, err := sumFile(filepath.Join(b.programs, arch, program))
		if err != nil {
			return nil, err
		}
		components = append(components, cdx.Component{BOMRef: program, Type: cdx.ComponentTypeApplication,
			Name: program, Version: b.version,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}})
		used := uses[program]
		dependencies = append(dependencies, cdx.Dependency{Ref: program, Dependencies: &used})
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	return bom, nil
}

// component describes a module. Its hash is go.sum's, of all the module's files (golang.org/x/mod,
// dirhash).
func (m module) component() (cdx.Component, error) {
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	if m.Path == standardLibrary {
		purl = "pkg:golang/std@" + strings.TrimPrefix(m.Version, "go")
	}
	c := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl}
	if m.Sum == "" {
		return c, nil
	}
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(sum) != sha256.Size {
		return c, fmt.Errorf("module %s has the sum %q, which is none", m.Path, m.Sum)
	}
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	return c, nil
}
