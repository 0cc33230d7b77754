/* The policy said a second time, by hand: what each role may reach. admin clinician reviewer analyst nurse auditor service;
 * '-' no, 'o' own, 't' tenant, 'a' all, '*' anyone without credentials. A change of the table must be made here, too. */
#ifndef WD_TESTS_GUARD_POLICY_EXPECTED_H
#define WD_TESTS_GUARD_POLICY_EXPECTED_H

static const struct {
    const char *method, *path, *action, *reach, *scope;
} policy_expected[] = {
    { "GET", "/health", "health.read", "*******", "" },
    { "GET", "/ready", "ready.read", "*******", "" },
    { "GET", "/api/openapi.json", "api.read", "*******", "" },
    { "GET", "/version", "version.read", "*******", "" },
    { "POST", "/api/v1/session", "session.create", "*******", "" },
    { "GET", "/api/v1/session", "session.read", "ooooooo", "" },
    { "DELETE", "/api/v1/session", "session.delete", "ooooooo", "" },
    { "GET", "/metrics", "metrics.read", "a--a--a", "metrics" },
    { "GET", "/v1/models", "model.list", "ttttt-t", "models" },
    { "GET", "/v1/models/{rest}", "model.read", "ttttt-t", "models" },
    { "POST", "/v1/models/load", "model.load", "a------", "admin" },
    { "POST", "/v1/models/unload", "model.unload", "a------", "admin" },
    { "POST", "/tokenize", "text.tokenize", "-tttt-t", "models" },
    { "POST", "/detokenize", "text.detokenize", "-tttt-t", "models" },
    { "POST", "/v1/chat/completions", "chat.create", "-tttt-t", "infer" },
    { "POST", "/v1/completions", "completion.create", "-ttt--t", "infer" },
    { "POST", "/v1/responses", "response.create", "-tttt-t", "infer" },
    { "GET", "/v1/responses/{id}", "response.read", "-oooo-o", "infer" },
    { "GET", "/v1/responses/{id}/input_items", "response.input", "-oooo-o", "infer" },
    { "DELETE", "/v1/responses/{id}", "response.delete", "-oooo-o", "infer" },
    { "POST", "/v1/embeddings", "embedding.create", "-ttt--t", "infer" },
    { "POST", "/v1/rerank", "rerank.create", "-ttt--t", "infer" },
    { "POST", "/v2/rerank", "rerank.create", "-ttt--t", "infer" },
    { "POST", "/v1/files", "file.create", "-tttt-t", "files" },
    { "GET", "/v1/files", "file.list", "-oooo-o", "files" },
    { "GET", "/v1/files/{id}", "file.read", "-oooo-o", "files" },
    { "GET", "/v1/files/{id}/content", "file.content", "-oooo-o", "files" },
    { "DELETE", "/v1/files/{id}", "file.delete", "toooo-o", "files" },
    { 0, 0, "tenant.add", "t------", "admin" },
    { 0, 0, "tenant.change", "t------", "admin" },
    { 0, 0, "tenant.list", "t----a-", "admin" },
    { 0, 0, "user.add", "t------", "admin" },
    { 0, 0, "user.change", "t------", "admin" },
    { 0, 0, "user.list", "t----a-", "admin" },
    { 0, 0, "key.add", "t------", "admin" },
    { 0, 0, "key.revoke", "t------", "admin" },
    { 0, 0, "key.list", "t----a-", "admin" },
    { 0, 0, "audit.list", "-----a-", "audit" },
    { 0, 0, "audit.export", "-----a-", "audit" },
    { 0, 0, "audit.ship", "-----a-", "audit" },
    { 0, 0, "audit.checkpoint", "a----a-", "audit" },
    { 0, 0, "audit.digest", "-----a-", "audit" },
};

#endif
