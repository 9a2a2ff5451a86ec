package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func files(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		all[header.Name] = data
	}
}

func TestArchiveHoldsTheProgramAndNamesItsLayer(t *testing.T) {
	dir := t.TempDir()
	program, path := filepath.Join(dir, "tool"), filepath.Join(dir, "tool.tar")
	if err := os.WriteFile(program, []byte("binary"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteArchive(path, "example.org/tool:1", program); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := files(t, data)
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(all["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || len(manifest[0].RepoTags) != 1 || manifest[0].RepoTags[0] != "example.org/tool:1" {
		t.Fatalf("the manifest is %s", all["manifest.json"])
	}
	var config struct {
		Config struct {
			Entrypoint []string
			User       string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(all[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := all[manifest[0].Layers[0]]
	digest := sha256.Sum256(layer)
	if config.RootFS.DiffIDs[0] != "sha256:"+hex.EncodeToString(digest[:]) {
		t.Error("the configuration names another layer")
	}
	if config.Config.Entrypoint[0] != "/tool" || config.Config.User != "65532:65532" {
		t.Errorf("the image runs %v as %s", config.Config.Entrypoint, config.Config.User)
	}
	if got := files(t, layer)["tool"]; string(got) != "binary" {
		t.Errorf("the layer holds %q", got)
	}
}
