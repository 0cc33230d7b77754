"""The demo model for training: Qwen3-VL as transformers computes it, arranged for many small pictures of one size.

Parameters carry the names of a published checkpoint, so a state_dict is a checkpoint. What differs from transformers is
the order of work: pictures are a batch [picture, patch, channel] instead of one packed row, and a grey picture's patch
product is taken once instead of for three equal channels and two equal frames. check.py holds the two equal.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

PATCH, MERGE = 16, 2
BLOCK = PATCH * MERGE


class LayerNorm(nn.LayerNorm):
    def __init__(self, n):
        super().__init__(n, eps=1e-6)


class RMSNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, 1e-6).to(x.dtype)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Attention(nn.Module):
    """The tower's: every patch of a picture sees every other."""

    def __init__(self, d, n_head):
        super().__init__()
        self.n_head = n_head
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x, cos, sin):
        n, t, d = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d))


class MLP(nn.Module):
    def __init__(self, d, n_ff):
        super().__init__()
        self.linear_fc1, self.linear_fc2 = nn.Linear(d, n_ff), nn.Linear(n_ff, d)

    def forward(self, x):
        return self.linear_fc2(F.gelu(self.linear_fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, d, n_head, n_ff):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(d), LayerNorm(d)
        self.attn, self.mlp = Attention(d, n_head), MLP(d, n_ff)

    def forward(self, x, cos, sin):
        x = x + self.attn(self.norm1(x), cos, sin)
        return x + self.mlp(self.norm2(x))


class Merger(nn.Module):
    def __init__(self, d, n_out, post):
        super().__init__()
        self.post, wide = post, d * MERGE * MERGE
        self.norm = LayerNorm(wide if post else d)
        self.linear_fc1, self.linear_fc2 = nn.Linear(wide, wide), nn.Linear(wide, n_out)

    def forward(self, x):
        n, t, d = x.shape
        wide = (n, t // (MERGE * MERGE), d * MERGE * MERGE)
        x = self.norm(x.reshape(wide)) if self.post else self.norm(x).reshape(wide)
        return self.linear_fc2(F.gelu(self.linear_fc1(x)))


class PatchEmbed(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.proj = nn.Conv3d(3, d, (2, PATCH, PATCH), (2, PATCH, PATCH))


class Tower(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c["hidden_size"]
        self.head_dim, self.side = d // c["num_heads"], int(c["num_position_embeddings"] ** 0.5)
        self.deep = c["deepstack_visual_indexes"]
        self.patch_embed = PatchEmbed(d)
        self.pos_embed = nn.Embedding(c["num_position_embeddings"], d)
        self.blocks = nn.ModuleList(Block(d, c["num_heads"], c["intermediate_size"]) for _ in range(c["depth"]))
        self.merger = Merger(d, c["out_hidden_size"], False)
        self.deepstack_merger_list = nn.ModuleList(Merger(d, c["out_hidden_size"], True) for _ in self.deep)
        self.tables = {}

    def places(self, rows, cols):
        """Row and column of each patch, in the order of 2 x 2 blocks."""
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
        order = lambda g: g.view(rows // 2, 2, cols // 2, 2).transpose(1, 2).reshape(-1)  # noqa: E731
        return order(y), order(x)

    def table(self, rows, cols):
        """Rotary cosines and sines, and the four corners with weights of each patch's learned position."""
        key = (rows, cols)
        if key not in self.tables:
            y, x = self.places(rows, cols)
            inv = 1.0 / (10000.0 ** (torch.arange(0, self.head_dim // 2, 2).float() / (self.head_dim // 2)))
            angle = torch.cat([y[:, None] * inv, x[:, None] * inv], -1)
            angle = torch.cat([angle, angle], -1)
            fy, fx = (torch.linspace(0, self.side - 1, n)[g] for n, g in ((rows, y), (cols, x)))
            y0, x0 = fy.long(), fx.long()
            y1, x1 = (y0 + 1).clamp(max=self.side - 1), (x0 + 1).clamp(max=self.side - 1)
            dy, dx = fy - y0, fx - x0
            at = torch.stack([y0 * self.side + x0, y0 * self.side + x1, y1 * self.side + x0, y1 * self.side + x1])
            weight = torch.stack([(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx])
            self.tables[key] = angle.cos(), angle.sin(), at, weight
        return self.tables[key]

    def patches(self, pictures):
        """[n][h][w] grey or [n][h][w][3] colour, uint8 -> the patch product's input and its weights."""
        n, h, w = pictures.shape[:3]
        grey = pictures.dim() == 3
        x = pictures.reshape(n, h // BLOCK, 2, PATCH, w // BLOCK, 2, PATCH, -1)
        x = x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(n, (h // PATCH) * (w // PATCH), -1)
        weight = self.patch_embed.proj.weight.sum(2)
        return x.float() / 127.5 - 1, (weight.sum(1) if grey else weight).flatten(1)

    def forward(self, pictures):
        """-> merged [n][token][out], and the same of each deep layer."""
        x, weight = self.patches(pictures)
        cos, sin, at, share = self.table(pictures.shape[1] // PATCH, pictures.shape[2] // PATCH)
        x = F.linear(x, weight, self.patch_embed.proj.bias)
        x = x + (self.pos_embed(at) * share[..., None]).sum(0)
        deep = []
        for i, b in enumerate(self.blocks):
            x = b(x, cos, sin)
            if i in self.deep:
                deep.append(self.deepstack_merger_list[self.deep.index(i)](x))
        return self.merger(x), deep


def causal(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def after_one_head(n, n_tail):
    """For one row that holds a head of n tokens and n_tail tails of equal length, each of which goes on from the head."""
    def attend(q, k, v):
        t = (q.shape[2] - n) // n_tail
        tails = [s[0, :, n:].unflatten(1, (n_tail, t)).transpose(0, 1) for s in (q, k, v)]
        keys, values = (torch.cat([s[:, :, :n].expand(n_tail, -1, -1, -1), own], 2)
                        for s, own in ((k, tails[1]), (v, tails[2])))
        hidden = torch.ones(t, t, dtype=torch.bool).triu(1)
        mask = F.pad(torch.zeros(t, t, dtype=q.dtype).masked_fill_(hidden, float("-inf")), (n, 0))
        of_tails = F.scaled_dot_product_attention(tails[0], keys, values, mask)
        return torch.cat([causal(q[:, :, :n], k[:, :, :n], v[:, :, :n]),
                          of_tails.transpose(0, 1).flatten(1, 2)[None]], 2)
    return attend


class SelfAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.n, self.n_kv, self.dim = (c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"],
                                          c["head_dim"])
        self.q_proj = nn.Linear(d, self.n * self.dim, bias=False)
        self.k_proj = nn.Linear(d, self.n_kv * self.dim, bias=False)
        self.v_proj = nn.Linear(d, self.n_kv * self.dim, bias=False)
        self.o_proj = nn.Linear(self.n * self.dim, d, bias=False)
        self.q_norm, self.k_norm = RMSNorm(self.dim), RMSNorm(self.dim)

    def forward(self, x, cos, sin, attend):
        b, t, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(b, t, self.n, self.dim)).transpose(1, 2)
        k = self.k_norm(self.k_proj(x).view(b, t, self.n_kv, self.dim)).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.n_kv, self.dim).transpose(1, 2)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        k, v = (s.repeat_interleave(self.n // self.n_kv, 1) for s in (k, v))
        return self.o_proj(attend(q, k, v).transpose(1, 2).reshape(b, t, -1))


class Gated(nn.Module):
    def __init__(self, d, n_ff):
        super().__init__()
        self.gate_proj = nn.Linear(d, n_ff, bias=False)
        self.up_proj = nn.Linear(d, n_ff, bias=False)
        self.down_proj = nn.Linear(n_ff, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c["hidden_size"]
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(d), RMSNorm(d)
        self.self_attn, self.mlp = SelfAttention(c), Gated(d, c["intermediate_size"])

    def forward(self, x, cos, sin, attend):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, attend)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = RMSNorm(c["hidden_size"])
        half = c["head_dim"] // 2
        inv = 1.0 / (c["rope_theta"] ** (torch.arange(half).float() / half))
        axis = torch.zeros(half, dtype=torch.long)
        if c.get("rope_scaling"):
            section = c["rope_scaling"]["mrope_section"]
            for a in (1, 2):
                axis[a:section[a] * 3:3] = a
        self.register_buffer("inv", inv, persistent=False)
        self.register_buffer("axis", axis, persistent=False)

    def forward(self, ids, places, at=None, features=None, deep=None, attend=causal):
        """ids [b][t]; places [3][b][t]; features and deep[k] replace and join the rows `at` of the flat batch.
        attend: what a token sees, `causal` or what after_one_head() makes."""
        b, t = ids.shape
        x = self.embed_tokens(ids)
        if at is not None:
            x = x.reshape(b * t, -1).index_copy(0, at, features.to(x.dtype)).view(b, t, -1)
        angle = places.permute(1, 2, 0)[..., self.axis].float() * self.inv
        angle = torch.cat([angle, angle], -1)[:, None]
        cos, sin = angle.cos(), angle.sin()
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, attend)
            if at is not None and i < len(deep):
                x = x.reshape(b * t, -1).index_add(0, at, deep[i].to(x.dtype)).view(b, t, -1)
        return self.norm(x)


def compile_parts(tower):
    """Blocks and mergers, one by one: a minute less than the whole, and as fast."""
    for part in [*tower.blocks, tower.merger, *tower.deepstack_merger_list]:
        part.compile(dynamic=False)


class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        text, vision = config.get("text_config", config), config.get("vision_config")
        self.config = config
        self.decoder = Decoder(text)
        self.tower = Tower(vision) if vision else None
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                fan_in = p[0].numel()
                nn.init.normal_(p, std=0.02 if "embed" in name and "patch" not in name else fan_in ** -0.5)
            elif name.endswith("bias"):
                nn.init.zeros_(p)
        depth = 2 * text["num_hidden_layers"]
        for name, p in self.decoder.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                p.data *= depth ** -0.5

    def logits(self, hidden):
        return F.linear(hidden, self.decoder.embed_tokens.weight)

    def checkpoint(self):
        """The published names, in bf16."""
        text = "model.language_model." if self.tower else "model."
        out = {text + k: v for k, v in self.decoder.state_dict().items()}
        if self.tower:
            out |= {"model.visual." + k: v for k, v in self.tower.state_dict().items()}
        return {k: v.detach().to(torch.bfloat16).contiguous() for k, v in out.items()}

    def take(self, tensors):
        """The reverse of checkpoint()."""
        text = "model.language_model." if self.tower else "model."
        self.decoder.load_state_dict({k[len(text):]: v.float() for k, v in tensors.items() if k.startswith(text)})
        if self.tower:
            self.tower.load_state_dict({k[len("model.visual."):]: v.float() for k, v in tensors.items()
                                        if k.startswith("model.visual.")})
