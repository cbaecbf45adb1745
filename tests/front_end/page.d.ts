/** What ComfyUI's page offers: its app as a module, and LiteGraph as global names. */

declare module "*/scripts/app.js" {
  import type { ComfyApp } from "@comfyorg/comfyui-frontend-types";
  export const app: ComfyApp;
}

declare var LiteGraph:
  | { registered_node_types?: Record<string, { title?: string } | undefined> }
  | undefined;

declare var LGraphCanvas: { link_type_colors?: Record<string, string> } | undefined;
