package testkit

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// CRSStage is one request of the Core Rule Set's regression tests, in the go-ftw format, with what is wanted of it.
type CRSStage struct {
	Input  CRSInput  `yaml:"input"`
	Output CRSOutput `yaml:"output"`
}

// CRSInput describes the request.
type CRSInput struct {
	Method       string            `yaml:"method"`
	URI          string            `yaml:"uri"`
	Version      *string           `yaml:"version"`
	Headers      map[string]string `yaml:"headers"`
	Data         string            `yaml:"data"`
	Encoded      string            `yaml:"encoded_request"`
	Autocomplete *bool             `yaml:"autocomplete_headers"`
}

// CRSOutput says what is wanted.
type CRSOutput struct {
	Status      int  `yaml:"status"`
	ExpectError bool `yaml:"expect_error"`
	Log         struct {
		Expect   []int  `yaml:"expect_ids"`
		NoExpect []int  `yaml:"no_expect_ids"`
		Match    string `yaml:"match_regex"`
		NoMatch  string `yaml:"no_match_regex"`
	} `yaml:"log"`
}

// CRSSuite calls visit with each stage of the tests in from, in the order of their files. rule and id name the stage's test.
func CRSSuite(t testing.TB, from fs.FS, visit func(rule string, id int, stage CRSStage)) {
	t.Helper()
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		var file struct {
			Tests []struct {
				ID     int        `yaml:"test_id"`
				Stages []CRSStage `yaml:"stages"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(content, &file); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, test := range file.Tests {
			for _, stage := range test.Stages {
				visit(strings.TrimSuffix(path.Base(name), ".yaml"), test.ID, stage)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
